"""docs/benchmarks.md, and the short table of it in README.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from symgraph.bench.measure import PEERS, Measured
from symgraph.bench.rows import TRAINING, Row, compiling, demo, duration, peer_cells, speed
from symgraph.bench.workloads import COLUMNS, ROWS


def page(measured: Measured) -> str:
    """The whole page."""
    engines = [engine for engine in PEERS if engine in measured.versions]
    parts = [
        "# Benchmarks",
        HEAD,
        _machine(measured),
        "## Speed",
        _rows(speed(measured, engines), engines),
        NOTES,
        "## Compiling and starting",
        _rows(compiling(measured, engines), engines),
        "## The demo",
        _rows(demo(measured), []),
        AGAIN,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


HEAD = """\
Written by `make bench` (with `make bench-peers`, PyTorch and JAX run beside it). Each figure is the median
wall time of one call, on one thread of one core, in a process of its own; what is compared takes turns.
Compile times are the best of three, since they are single calls."""

NOTES = f"""\
- *matmul* is a ratio: numpy's time, that is OpenBLAS's on one thread with its own choice of kernels, over
  symgraph's. Above 1 symgraph is quicker.
- *a call* adds 1 to 8 numbers: what is measured is the way from Python into native code and back, with a
  fresh array for the result.
- *layer norm* and *batch norm* take {ROWS} x {COLUMNS} numbers and return the gradients of x, gamma and beta
  for a given gradient of the output; the lines "with output" return the normalized array too.
- *training step* is forward, backward and optimizer, with the loss returned to Python."""

AGAIN = """\
## How to repeat

```
make bench                                                        # this page
.venv/bin/python -m symgraph.bench --only layer_norm --seconds 5  # one workload, printed only
make bench-peers                                                  # with PyTorch and JAX
```

The workloads are in `symgraph/bench/workloads.py`, the peers' in `peer_torch.py` and `peer_jax.py` there."""


def summary(measured: Measured) -> str:
    """What a reader of README.md wants to know first: symgraph beside its peers."""
    ours = measured.ours
    rows = [
        (TRAINING, "mlp_train", "symgraph", "median"),
        ("layer norm 4096 x 1024, forward and backward", "layer_norm", "symgraph", "median"),
        ("batch norm 4096 x 1024, forward and backward", "batch_norm", "symgraph", "median"),
        ("MLP 64-128-64-10, one row", "mlp_infer", "symgraph", "median"),
        ("100-layer net: model to end of first training step", "deep_compile", "first call", "first call"),
        ("product of 1024 x 1024 matrices", "matmul", f"symgraph {'x'.join(['1024'] * 3)}", "median"),
    ]
    engines = [engine for engine in PEERS if engine in measured.versions]
    cells = [
        [what, duration(ours[name][figure]), *peer_cells(measured, engines, name, theirs)]
        for what, name, figure, theirs in rows
        if name in ours
    ]
    return _table(["one thread", "symgraph", *engines], cells, right=1 + len(engines))


def put_between(text: str, content: str, mark: str = "figures") -> str:
    """The text with what stands between <!-- mark --> and <!-- end of mark --> replaced."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"there is no place for the table: {begin.strip()} ... {end}")
    return f"{before}{begin}{content}\n{end}{after}"


def _rows(rows: Iterable[Row], engines: Sequence[str]) -> str:
    """A table of rows with their goals; nothing for no rows."""
    cells = [row.cells() for row in rows]
    return (
        _table(["what", "symgraph", "goal", "met", *engines], cells, right=3 + len(engines)) if cells else ""
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    """Markdown; the last `right` columns hold figures."""
    rule = ["---"] * (len(head) - right) + ["---:"] * right
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _machine(measured: Measured) -> str:
    """What it ran on, and with what."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("symgraph", "numpy", "llvmlite"))
    peers = "".join(f", {engine} {version}" for engine, version in measured.versions.items())
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}. "
        f"Python {platform.python_version()}, {packages}{peers}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
