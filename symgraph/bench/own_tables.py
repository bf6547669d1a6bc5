"""The lines of docs/benchmarks.md that hold symgraph's own figures, with what each was to be."""

from __future__ import annotations

from collections.abc import Iterator

from symgraph.bench.problems import COLUMNS, MATMULS, ROWS
from symgraph.bench.results import Results
from symgraph.bench.text import MS, US, Line, number

GOAL_PEAK = {"static": 200.0}


def speed(results: Results) -> Iterator[Line]:
    """Products beside numpy's, a call, the normalizations with their output and their kernels."""
    own = results.own
    for index, sizes in enumerate(MATMULS if "matmul" in own else ()):
        shape = "x".join(map(str, sizes))
        symgraph, numpy = (own["matmul"][f"{name} {shape}"] for name in ("symgraph", "numpy"))
        rate = 2 * sizes[0] * sizes[1] * sizes[2] / symgraph * 1e-9
        what = f"matmul {shape}, {rate:.0f} GFLOP/s, {number(symgraph / MS, 'ms')}: against numpy"
        yield Line(what, numpy / symgraph, "x", 0.95 if index == 0 else 1.0, True)
    if "call" in own:
        yield Line("a call with one small input and output", own["call"]["symgraph"] / US, "us", 1.0)
    for name, goal in (("layer_norm", 5.0), ("batch_norm", 6.0)):
        if name in own:
            label = f"{name.replace('_', ' ')} {ROWS}x{COLUMNS}"
            yield Line(f"{label}, gradients", own[name]["symgraph"] / MS, "ms", goal)
            yield Line(f"{label}, gradients with output", own[name]["symgraph with output"] / MS, "ms")
            yield Line(f"{label}: kernels launched", own[name]["launches"], "", 3)


def starting(results: Results) -> Iterator[Line]:
    own = results.own
    for label, name in (("cold", "digits_compile"), ("from the cache", "digits_compile cached")):
        if name in own:
            yield Line(f"digits training step: compile, {label}", own[name]["compile"], "s", 1.0)
    if "import" in own:
        what = f"import symgraph (numpy alone: {number(own['import']['numpy'], 's')})"
        yield Line(what, own["import"]["symgraph"], "s", 0.25)


def demo(results: Results) -> Iterator[Line]:
    found = results.own.get("demo")
    if found is None:
        return
    for world, name in (("eager", "eager"), ("static", "compiled")):
        yield Line(f"digits, {name}: test accuracy", 100 * found[f"{world} accuracy"], "%", 97.0, True)
        step = found[f"{world} step_seconds"] / MS
        yield Line(f"digits, {name}: time a step of 64 images", step, "ms")
        peak = found[f"{world} peak_bytes"] / 2**20
        yield Line(f"digits, {name}: peak memory of the process", peak, "MiB", GOAL_PEAK.get(world))
    yield Line("largest relative difference of their losses in 50 steps", found["difference"], "", 1e-4)
