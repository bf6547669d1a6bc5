"""Runs every workload in processes of its own, and the peers' beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from symgraph.bench.timing import one_thread
from symgraph.bench.workloads import WORKLOADS, Figures

HERE = Path(__file__).resolve().parent
PEERS = {
    "PyTorch": ("peer_torch.py", "eager"),
    "torch.compile": ("peer_torch.py", "compile"),
    "JAX": ("peer_jax.py", "jit"),
}
WITH_PEERS = ("matmul", "mlp_infer", "mlp_train", "deep_compile", "layer_norm", "batch_norm")
COLD = ("deep_compile", "digits_compile")  # measured without a cache and with one
IMPORTS = 7
ROUNDS = 3  # symgraph and its peers take turns, process by process
ONCE = ("torch.compile",)  # its first calls take up to minutes


@dataclass(slots=True)
class Measured:
    """Figures by workload ("deep_compile cached" from the cache); peers' by engine and workload."""

    ours: dict[str, Figures] = field(default_factory=dict)
    peers: dict[str, dict[str, Figures]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def measure_all(
    seconds: float, only: Sequence[str] | None, python: str | None, engines: Sequence[str]
) -> Measured:
    """Every workload and, if there is a Python for them, the same in the peers."""
    measured = Measured()
    for name in WORKLOADS:
        if not only or name in only:
            _tell(name)
            peers = engines if python and name in WITH_PEERS else ()
            _measure(measured, name, seconds, python or "", peers)
    if not only or "start" in only:
        _tell("start")
        measured.ours["import"] = _import_times()
        measured.ours["demo"] = _demo()
    return measured


def _measure(measured: Measured, name: str, seconds: float, python: str, engines: Sequence[str]) -> None:
    """Some rounds of one workload, each of symgraph and then of every peer."""
    ours: list[Figures] = []
    theirs: dict[str, list[Figures]] = {engine: [] for engine in engines}
    for number in range(ROUNDS):
        if name in COLD:
            _cold_and_cached(measured, name, seconds)
        else:
            ours.append(_ours(name, seconds, {}))
        for engine in engines:
            if number == 0 or engine not in ONCE:
                found = _peer(python, engine, name, seconds, measured)
                theirs[engine].extend([found] if found else [])
    if ours:
        measured.ours[name] = _middle(ours)
    for engine, runs in theirs.items():
        if runs:
            measured.peers.setdefault(engine, {})[name] = _middle(runs)


def _tell(name: str) -> None:
    print(f"measuring {name}", file=sys.stderr, flush=True)


def _middle(runs: Sequence[Figures]) -> Figures:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    """The last line that a command prints. Raises CalledProcessError."""
    settings = {**one_thread(os.environ), **environment}
    done = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip().splitlines()[-1]


def _ours(name: str, seconds: float, environment: dict[str, str]) -> Figures:
    return json.loads(_run([sys.executable, "-m", "symgraph.bench.child", name, str(seconds)], environment))


def _cold_and_cached(measured: Measured, name: str, seconds: float) -> None:
    """Twice with a new cache folder: the first run fills it. The best of the rounds stays."""
    with tempfile.TemporaryDirectory() as folder:
        for label in (name, f"{name} cached"):
            found = _ours(name, seconds / 2, {"SYMGRAPH_CACHE_DIR": folder})
            measured.ours[label] = _quicker(measured.ours.get(label), found)


def _quicker(known: Figures | None, found: Figures) -> Figures:
    """Compiling is one long call: what disturbs it can only add to it."""
    return found if known is None or found["compile"] < known["compile"] else known


def _peer(python: str, engine: str, name: str, seconds: float, measured: Measured) -> Figures | None:
    """A peer's figures; None, with a message, where it is not installed or fails."""
    script, mode = PEERS[engine]
    try:
        found = json.loads(_run([python, str(HERE / script), mode, name, str(seconds)], {}))
    except (subprocess.CalledProcessError, OSError, IndexError) as error:
        print(f"{engine} is left out of {name}: {error}", file=sys.stderr)
        return None
    measured.versions[engine] = found.pop("version")
    return found


def _import_times() -> Figures:
    """`import symgraph` and, for what it needs anyway, `import numpy`, each in new processes."""
    times = {}
    for module in ("numpy", "symgraph"):
        code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
        times[module] = median(float(_run([sys.executable, "-c", code], {})) for _ in range(IMPORTS))
    return times


def _demo() -> Figures:
    """Each world's training alone: accuracy, time a step, and the process's peak memory."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for world in ("eager", "static"):
            demo = [sys.executable, "-m", "symgraph", "demo", "--quiet", "--output", folder]
            _run([*demo, "--world", world], {})
            outcome = json.loads(Path(folder, f"{world}.json").read_text())
            for figure in ("accuracy", "step_seconds", "peak_bytes", "work"):
                found[f"{world} {figure}"] = outcome[figure]
            found[f"{world} losses"] = outcome["losses"][:50]
    pairs = zip(found.pop("eager losses"), found.pop("static losses"), strict=True)
    found["difference"] = max(abs(a - b) / abs(a) for a, b in pairs)
    return found
