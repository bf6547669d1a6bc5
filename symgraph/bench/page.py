"""docs/benchmarks.md: the figures beside what they were to be."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from symgraph.bench.measure import PEERS, Measured
from symgraph.bench.workloads import COLUMNS, MATMULS, ROWS, Figures

US, MS = 1e-6, 1e-3
GOAL_PEAK = {"static": 200.0}
TRAINING = "MLP 784-512-256-10 + BN, Adam, batch 128: training step"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page. `goal` is a bound on `value`, from below if `at_least`."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    peers: Sequence[str] = ()

    def cells(self) -> list[str]:
        found = _number(self.value, self.unit)
        if self.goal is None:
            return [self.what, found, "", "", *self.peers]
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        bound = f"{'at least' if self.at_least else 'at most'} {_number(self.goal, self.unit)}"
        return [self.what, found, bound, "yes" if met else "**no**", *self.peers]


def page(measured: Measured) -> str:
    """The whole page."""
    engines = [engine for engine in PEERS if engine in measured.versions]
    speed = ["what", "symgraph", "goal", "met", *engines]
    parts = [
        "# Benchmarks",
        HEAD,
        _machine(measured),
        "## Speed",
        _table(speed, [row.cells() for row in _speed(measured, engines)], len(engines)),
        NOTES,
        "## Compiling and starting",
        _table(speed, [row.cells() for row in _compiling(measured, engines)], len(engines)),
        "## The demo",
        _table(speed[:4], [row.cells() for row in _demo(measured)], 0),
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


def _speed(measured: Measured, engines: Sequence[str]) -> Iterator[Row]:
    ours = measured.ours
    for index, sizes in enumerate(MATMULS if "matmul" in ours else ()):
        shape = "x".join(map(str, sizes))
        symgraph, numpy = (ours["matmul"][f"{name} {shape}"] for name in ("symgraph", "numpy"))
        rate = 2 * sizes[0] * sizes[1] * sizes[2] / symgraph * 1e-9
        peers = _peers(measured, engines, "matmul") if index == 0 else [""] * len(engines)
        goal = 0.95 if index == 0 else 1.0
        what = f"matmul {shape}, {rate:.0f} GFLOP/s, {_number(symgraph / MS, 'ms')}: against numpy"
        yield Row(what, numpy / symgraph, "x", goal, True, peers)
    yield from _timed(measured, engines, "call", "a call with one small input and output", US, 1.0)
    yield from _timed(measured, engines, "mlp_infer", "MLP 64-128-64-10, one row", US, 3.0)
    yield from _timed(measured, engines, "mlp_train", TRAINING, MS, 4.7)
    for name, goal in (("layer_norm", 5.0), ("batch_norm", 6.0)):
        if name in ours:
            label = name.replace("_", " ")
            yield from _timed(measured, engines, name, f"{label}, gradients", MS, goal)
            blank = [""] * len(engines)
            both = ours[name]["symgraph with output"] / MS
            yield Row(f"{label}, gradients with output", both, "ms", peers=blank)
            yield Row(f"{label}: kernels launched", ours[name]["launches"], "", 3, peers=blank)


def _timed(
    measured: Measured, engines: Sequence[str], name: str, what: str, scale: float, goal: float
) -> Iterator[Row]:
    if name in measured.ours:
        unit = "us" if scale == US else "ms"
        peers = _peers(measured, engines, name)
        yield Row(what, measured.ours[name]["symgraph"] / scale, unit, goal, False, peers)


def _peers(measured: Measured, engines: Sequence[str], name: str, figure: str = "median") -> list[str]:
    return [_seconds(measured.peers.get(engine, {}).get(name), figure) for engine in engines]


def _seconds(figures: Figures | None, figure: str) -> str:
    if figures is None:
        return ""
    value = figures[figure]
    unit, scale = ("s", 1.0) if value >= 1 else ("ms", MS) if value >= MS else ("us", US)
    return _number(value / scale, unit)


def _compiling(measured: Measured, engines: Sequence[str]) -> Iterator[Row]:
    ours = measured.ours
    blank = [""] * len(engines)
    if "deep_compile" in ours:
        cold, cached = ours["deep_compile"], ours["deep_compile cached"]
        what = f"100 layers with BN + ReLU, training step: compile, cold ({cold['kernels']:.0f} kernels)"
        first = _peers(measured, engines, "deep_compile", "first call")
        step = _peers(measured, engines, "deep_compile")
        yield Row(what, cold["compile"], "s", 4.0, peers=blank)
        yield Row("the same, from the cache", cached["compile"], "s", 0.5, peers=blank)
        yield Row("with the model, its graph and the first call, cold", cold["first call"], "s", peers=first)
        yield Row("the same, from the cache", cached["first call"], "s", peers=blank)
        yield Row("then one training step", cold["symgraph"] / MS, "ms", peers=step)
    if "digits_compile" in ours:
        for label, name in (("cold", "digits_compile"), ("from the cache", "digits_compile cached")):
            what = f"digits training step: compile, {label}"
            yield Row(what, ours[name]["compile"], "s", 1.0, peers=blank)
    if "import" in ours:
        what = f"import symgraph (numpy alone: {_number(ours['import']['numpy'], 's')})"
        yield Row(what, ours["import"]["symgraph"], "s", 0.25, peers=blank)


def _demo(measured: Measured) -> Iterator[Row]:
    found = measured.ours.get("demo")
    if found is None:
        return
    for world, name in (("eager", "eager"), ("static", "compiled")):
        yield Row(f"digits, {name}: test accuracy", 100 * found[f"{world} accuracy"], "%", 97.0, True)
        yield Row(f"digits, {name}: time a step of 64 images", found[f"{world} step_seconds"] / US, "us")
        peak = found[f"{world} peak_bytes"] / 2**20
        yield Row(f"digits, {name}: peak memory of the process", peak, "MiB", GOAL_PEAK.get(world))
    yield Row("largest relative difference of their losses in 50 steps", found["difference"], "", 1e-4)


def _number(value: float, unit: str) -> str:
    """Three digits, more where the number is whole."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    else:
        digits = f"{value:.1e}"
    return f"{digits}x" if unit == "x" else f"{digits} {unit}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], peers: int) -> str:
    if not rows:
        return ""
    rule = ["---", "---:", "---:", ":---:", *["---:"] * peers]
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
