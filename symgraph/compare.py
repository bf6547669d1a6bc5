"""One model in both worlds, side by side: do they agree, and what does each cost?"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.api import Function, function
from symgraph.eager import Tensor, no_grad
from symgraph.structure import flatten
from symgraph.symbol import input
from symgraph.types import FLOATS
from symgraph.value import as_array
from symgraph.viz import draw
from symgraph.words import counted, duration, memory

CALLS = 20


@dataclass(frozen=True, slots=True)
class World:
    """Median seconds of a call, units of work (op calls or kernel launches), bytes allocated at the peak."""

    seconds: float
    work: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`str(comparison)` is a table. `max_ulp` is the largest distance in units in the last place, measured
    at the magnitude of each output's root mean square, so that a result near 0 raises no alarm."""

    eager: World
    static: World
    max_ulp: float
    compile_seconds: float
    function: Function
    pictures: tuple[Path, ...]

    def __str__(self) -> str:
        launches = counted(self.static.work, "kernel launch", "kernel launches")
        rows = [
            ("", "eager", "static"),
            ("time a call", duration(self.eager.seconds), duration(self.static.seconds)),
            ("work a call", counted(self.eager.work, "op call"), launches),
            ("peak memory", memory(self.eager.peak_bytes), memory(self.static.peak_bytes)),
        ]
        table = "\n".join(f"{a:12} {b:>18} {c:>22}" for a, b, c in rows)
        tail = f"largest difference {self.max_ulp:.1f} ULP; compiled in {duration(self.compile_seconds)}"
        return f"{table}\n{tail}"


def compare(model: Callable[..., Any], *arrays: Any, pictures: str | Path | None = None) -> Comparison:
    """Run a model or function on Tensors and compiled, print a table, and return its figures.

    A module predicts in both worlds (moving averages, no dropout). With `pictures`, a folder, both graphs
    are drawn there: eager.svg from the tape, static.svg with its fused kernels.
    """
    given = [as_array(a.data if isinstance(a, Tensor) else a) for a in arrays]
    trains = getattr(model, "training", None)
    if trains is not None:
        model.eval()  # pyright: ignore[reportFunctionMemberAccess]
    try:
        result = _compare(model, given, pictures)
    finally:
        if trains:
            model.train()  # pyright: ignore[reportFunctionMemberAccess]
    print(result)
    return result


def _compare(model: Callable[..., Any], arrays: list[np.ndarray], pictures: str | Path | None) -> Comparison:
    start = time.perf_counter()
    symbols = [input(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    compiled = function(symbols, model(*symbols), name="compared")
    compile_seconds = time.perf_counter() - start
    tensors = [Tensor(a) for a in arrays]

    def eagerly() -> Any:
        with no_grad():
            return model(*tensors)

    eager_leaves = [leaf.data for _, leaf in flatten(eagerly())]
    static_leaves = [leaf for _, leaf in flatten(compiled(*arrays))]
    report = compiled.report()
    return Comparison(
        eager=World(_median(eagerly), _count_ops(eagerly), _peak(eagerly)),
        static=World(_median(lambda: compiled(*arrays)), len(report.launches), compiled.peak_bytes(*arrays)),
        max_ulp=max(map(ulp_distance, eager_leaves, static_leaves), default=0.0),
        compile_seconds=compile_seconds,
        function=compiled,
        pictures=_draw(model, arrays, compiled, pictures),
    )


def _median(call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _count_ops(call: Callable[[], Any]) -> int:
    before = Tensor.applied
    call()
    return Tensor.applied - before


def _peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def ulp_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest |a - b| in units in the last place of the larger of |a| and a's root mean square."""
    if a.dtype not in FLOATS:
        return 0.0 if np.array_equal(a, b) else float("inf")
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not finite.any():
        return 0.0 if np.array_equal(a, b, equal_nan=True) else float("inf")
    x, y = a[finite].astype(np.float64), b[finite].astype(np.float64)
    scale = np.maximum(np.abs(x), np.sqrt(np.mean(x * x)))
    unit = np.spacing(np.maximum(scale, np.finfo(a.dtype).tiny).astype(a.dtype)).astype(np.float64)
    return float(np.max(np.abs(x - y) / unit))


def _draw(
    model: Callable[..., Any], arrays: Sequence[np.ndarray], compiled: Function, folder: str | Path | None
) -> tuple[Path, ...]:
    if folder is None:
        return ()
    where = Path(folder)
    where.mkdir(parents=True, exist_ok=True)
    traced = model(*(Tensor(a, requires_grad=a.dtype in FLOATS) for a in arrays))
    tape = next(leaf for _, leaf in flatten(traced))
    return draw(tape, where / "eager.svg"), compiled.draw(where / "static.svg")
