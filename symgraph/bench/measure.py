"""symgraph's own figures: workloads without peers, starting, the demo, and what the machine can do."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from symgraph.bench.results import Results
from symgraph.bench.timing import environment

Figures = dict[str, Any]
COLD = "digits_compile"  # measured without a cache and with one
MACHINE = "machine"  # the roofline, on each number of threads
IMPORTS = 7
ROUNDS = 3
OWN = ("matmul", "call", "layer_norm", "batch_norm", COLD, "start", "demo")


def measure_own(names: Sequence[str], seconds: float, results: Results) -> None:
    """The named figures of OWN, each in processes of its own, on one thread."""
    for name in names:
        _tell(name)
        if name == "start":
            results.own["import"] = _import_times()
        elif name == "demo":
            results.own["demo"] = _demo()
        elif name == COLD:
            _cold_and_cached(results, name)
        else:
            results.own[name] = _middle([_child(name, seconds / ROUNDS) for _ in range(ROUNDS)])


def measure_machine(threads: Sequence[int], seconds: float, results: Results) -> None:
    """The roofline, and what is known of the machine."""
    results.machine = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("symgraph", "numpy", "llvmlite")},
    }
    for count in threads:
        _tell(f"the roofline on {count} thread{'s' * (count > 1)}")
        results.roofline[str(count)] = _child(MACHINE, seconds, count)


def _tell(name: str) -> None:
    print(f"measuring {name}", file=sys.stderr, flush=True)


def _middle(runs: Sequence[Figures]) -> Figures:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _run(command: Sequence[str], more: Mapping[str, str], threads: int = 1) -> str:
    """The last line that a command prints. Raises CalledProcessError."""
    settings = {**environment(os.environ, threads), **more}
    done = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip().splitlines()[-1]


def _child(name: str, seconds: float, threads: int = 1, more: Mapping[str, str] | None = None) -> Figures:
    words = [sys.executable, "-m", "symgraph.bench.child", name, str(seconds), str(threads)]
    return json.loads(_run(words, more or {}, threads))


def _cold_and_cached(results: Results, name: str) -> None:
    """Twice with a new cache folder: the first run fills it. The best of the rounds stays, since compiling
    is one long call: what disturbs it can only add to it."""
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            for label in (name, f"{name} cached"):
                found = _child(name, 0, more={"SYMGRAPH_CACHE_DIR": folder})
                known = results.own.get(label)
                if known is None or found["compile"] < known["compile"]:
                    results.own[label] = found


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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
