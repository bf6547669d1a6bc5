"""The lines of docs/benchmarks.md: a figure, what it was to be, and the peers' figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symgraph.bench.measure import Measured
from symgraph.bench.workloads import MATMULS, Figures

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
        found = number(self.value, self.unit)
        if self.goal is None:
            return [self.what, found, "", "", *self.peers]
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        bound = f"{'at least' if self.at_least else 'at most'} {number(self.goal, self.unit)}"
        return [self.what, found, bound, "yes" if met else "**no**", *self.peers]


def speed(measured: Measured, engines: Sequence[str]) -> Iterator[Row]:
    ours = measured.ours
    for index, sizes in enumerate(MATMULS if "matmul" in ours else ()):
        shape = "x".join(map(str, sizes))
        symgraph, numpy = (ours["matmul"][f"{name} {shape}"] for name in ("symgraph", "numpy"))
        rate = 2 * sizes[0] * sizes[1] * sizes[2] / symgraph * 1e-9
        peers = peer_cells(measured, engines, "matmul") if index == 0 else [""] * len(engines)
        goal = 0.95 if index == 0 else 1.0
        what = f"matmul {shape}, {rate:.0f} GFLOP/s, {number(symgraph / MS, 'ms')}: against numpy"
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
        peers = peer_cells(measured, engines, name)
        yield Row(what, measured.ours[name]["symgraph"] / scale, unit, goal, False, peers)


def peer_cells(measured: Measured, engines: Sequence[str], name: str, figure: str = "median") -> list[str]:
    return [_cell(measured.peers.get(engine, {}).get(name), figure) for engine in engines]


def _cell(figures: Figures | None, figure: str) -> str:
    return "" if figures is None else duration(figures[figure])


def duration(value: float) -> str:
    """Seconds in the unit that suits them."""
    unit, scale = ("s", 1.0) if value >= 1 else ("ms", MS) if value >= MS else ("us", US)
    return number(value / scale, unit)


def compiling(measured: Measured, engines: Sequence[str]) -> Iterator[Row]:
    ours = measured.ours
    blank = [""] * len(engines)
    if "deep_compile" in ours:
        cold, cached = ours["deep_compile"], ours["deep_compile cached"]
        what = f"100 layers with BN + ReLU, training step: compile, cold ({cold['kernels']:.0f} kernels)"
        first = peer_cells(measured, engines, "deep_compile", "first call")
        step = peer_cells(measured, engines, "deep_compile")
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
        what = f"import symgraph (numpy alone: {number(ours['import']['numpy'], 's')})"
        yield Row(what, ours["import"]["symgraph"], "s", 0.25, peers=blank)


def demo(measured: Measured) -> Iterator[Row]:
    found = measured.ours.get("demo")
    if found is None:
        return
    for world, name in (("eager", "eager"), ("static", "compiled")):
        yield Row(f"digits, {name}: test accuracy", 100 * found[f"{world} accuracy"], "%", 97.0, True)
        step = found[f"{world} step_seconds"] / MS
        yield Row(f"digits, {name}: time a step of 64 images", step, "ms")
        peak = found[f"{world} peak_bytes"] / 2**20
        yield Row(f"digits, {name}: peak memory of the process", peak, "MiB", GOAL_PEAK.get(world))
    yield Row("largest relative difference of their losses in 50 steps", found["difference"], "", 1e-4)


def number(value: float, unit: str) -> str:
    """Three digits, more where the number is whole."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    else:
        digits = f"{value:.1e}"
    return f"{digits}x" if unit == "x" else f"{digits} {unit}".strip()
