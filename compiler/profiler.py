"""Where the time of a compiled function goes: each launch timed on its own, by kernel and user line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.driver import Compiled, weight_array
from compiler.jit.load import load
from compiler.report import report_of
from symgraph.dimension import evaluate


@dataclass(frozen=True, slots=True)
class Timed:
    """One launch: seconds (median), GFLOP/s and GB/s that it reached."""

    kernel: str
    title: str
    line: str
    seconds: float
    gflops: float
    gigabytes: float


@dataclass(frozen=True, slots=True)
class Profile:
    """`str(profile)` is a table, slowest first; `by_line()` adds up what each user line costs."""

    name: str
    launches: tuple[Timed, ...]

    def by_line(self) -> dict[str, float]:
        total: dict[str, float] = {}
        for launch in self.launches:
            total[launch.line] = total.get(launch.line, 0.0) + launch.seconds
        return dict(sorted(total.items(), key=lambda pair: -pair[1]))

    def __str__(self) -> str:
        rows = sorted(self.launches, key=lambda t: -t.seconds)
        lines = [
            f"{t.seconds * 1e6:10.1f} us {t.gflops:7.1f} GFLOP/s {t.gigabytes:6.1f} GB/s  {t.kernel:5} "
            f"{t.title}  ({t.line})"
            for t in rows
        ]
        total = sum(t.seconds for t in rows)
        return "\n".join([f"{self.name}: {total * 1e6:.1f} us in {len(rows)} launches", *lines])


def profile_graph(compiled: Compiled, arrays: Sequence[np.ndarray], calls: int) -> Profile:
    """Times growing prefixes of the program: a launch costs what it adds. State is put back afterwards."""
    lowered = compiled.lowered
    weights = [weight_array(node) for node in lowered.memory.weights]
    kept = [w.copy() for w in weights]
    sizes = compiled.native.signature.sizes(list(arrays))
    lines = report_of(compiled, str).launches
    timed = []
    before = 0.0
    try:
        for count, line in enumerate(lines, start=1):
            part = replace(lowered.program, launches=lowered.program.launches[:count])
            run = load(part, None, weights)
            now = _median(run, arrays, calls)
            seconds = max(now - before, 0.0)
            before = max(now, before)
            flops, moved = evaluate(line.flops, sizes), evaluate(line.bytes, sizes)
            rate = 1e-9 / seconds if seconds else 0.0
            timed.append(
                Timed(line.kernel, line.title, line.lines[-1], seconds, flops * rate, moved * rate)
            )
    finally:
        for weight, value in zip(weights, kept, strict=True):
            if weight.flags.writeable:
                weight[...] = value
    return Profile(lowered.program.name, tuple(timed))


def _median(run, arrays: Sequence[np.ndarray], calls: int) -> float:
    run(*arrays)
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        run(*arrays)
        times.append(time.perf_counter() - start)
    return float(np.median(times))
