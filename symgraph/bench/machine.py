"""What the machine can do at most, measured on the spot by kernels that symgraph's compiler makes."""

from __future__ import annotations

from symgraph.api import probe_level, probe_peak
from symgraph.bench.roofline import Level, Roofline

LEVELS = ("L1", "L2", "L3", "memory")


def measure_roofline(threads: int, seconds: float) -> Roofline:
    """The best of what a loop of fma and triads over arrays of several sizes reach, `seconds` for each."""
    peak = probe_peak(threads, seconds)
    return Roofline(peak, tuple(Level(name, *probe_level(name, threads, seconds)) for name in LEVELS))
