"""What the machine can do at most, measured on the spot by kernels that symgraph's compiler makes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from symgraph.api import fma_probe, levels, triad_probe
from symgraph.bench.roofline import Level, Roofline

FILL = 0.6  # of a cache: what the triad's arrays take of it
FEWEST = 9


def measure_roofline(threads: int, seconds: float) -> Roofline:
    """The best of what a loop of fma and triads over arrays of several sizes reach."""
    probe = fma_probe(threads)
    peak = probe.flops / _least(probe.call, seconds)
    found = []
    for name, size in levels().items():
        capacity = size * threads if name in ("L1", "L2") else size
        beyond = name == "memory"
        triad = triad_probe(threads, capacity if beyond else int(FILL * capacity))
        found.append(Level(name, capacity, triad.bytes / _least(triad.call, seconds)))
    return Roofline(peak, tuple(found))


def _least(call: Callable[[], object], seconds: float) -> float:
    """The quickest time: what disturbs a probe can only slow it down."""
    call()
    times: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(times) < FEWEST:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)
