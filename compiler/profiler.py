"""Where the time of a compiled function goes: each launch timed on its own, by kernel and user line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.driver import Compiled, weight_array
from compiler.jit.function import Code, NativeFunction
from compiler.jit.load import link
from compiler.jit.state import has_fast_entry
from compiler.llvm.engine import LOCK
from compiler.llvm.entry import emit_program
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target
from compiler.program import Argument, Program
from compiler.report import KernelLine, report_of
from symgraph.dimension import evaluate
from symgraph.types import TensorType, int64
from symgraph.words import counted, duration


@dataclass(frozen=True, slots=True)
class Timed:
    """One launch: median seconds, and the flops and bytes of memory that it needs for them."""

    kernel: str
    title: str
    line: str
    seconds: float
    flops: int
    bytes: int

    @property
    def gflops(self) -> float:
        """GFLOP/s that it reached."""
        return 1e-9 * self.flops / self.seconds if self.seconds else 0.0

    @property
    def gigabytes(self) -> float:
        """GB/s that it reached."""
        return 1e-9 * self.bytes / self.seconds if self.seconds else 0.0


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
        head = f"{self.name}: {duration(total)} in {counted(len(rows), 'launch', 'launches')}"
        return "\n".join([head, *lines])


def profile_graph(compiled: Compiled, arrays: Sequence[np.ndarray], calls: int) -> Profile:
    """Medians over `calls` runs of a copy of the function that reads a clock between launches.

    State is put back afterwards.
    """
    lowered = compiled.lowered
    weights = [weight_array(node) for node in lowered.memory.weights]
    kept = [w.copy() for w in weights]
    ticks = np.zeros(len(lowered.program.launches) + 1, np.int64)
    sizes = compiled.native.signature.sizes(list(arrays))
    try:
        run = _clocked(lowered.program, [*weights, ticks], compiled.threads)
        seconds = _seconds(run, ticks, arrays, calls)
    finally:
        for weight, value in zip(weights, kept, strict=True):
            if weight.flags.writeable:
                weight[...] = value
    lines = report_of(compiled, str).launches
    timed = (_timed(line, float(s), sizes) for line, s in zip(lines, seconds, strict=True))
    return Profile(lowered.program.name, tuple(timed))


def _timed(line: KernelLine, seconds: float, sizes: Mapping[str, int]) -> Timed:
    flops, moved = evaluate(line.flops, sizes), evaluate(line.bytes, sizes)
    return Timed(line.kernel, line.title, line.lines[-1], seconds, flops, moved)


def _seconds(
    run: NativeFunction, ticks: np.ndarray, arrays: Sequence[np.ndarray], calls: int
) -> np.ndarray:
    """Of each launch: the median of `calls` calls, each of which adds what it took to `ticks`."""
    run(*arrays)
    rows = []
    for _ in range(calls):
        ticks[:] = 0
        start = time.perf_counter()
        run(*arrays)
        elapsed = time.perf_counter() - start
        # What a call does besides is short, so all its ticks took about all its time.
        rows.append(ticks[:-1] * (elapsed / max(int(ticks[:-1].sum()), 1)))
    return np.median(rows, axis=0)


def _clocked(program: Program, weights: Sequence[np.ndarray], threads: int | None) -> NativeFunction:
    """The program with one weight more, the ticks, on as many threads as the function itself."""
    clock = Argument("ticks", TensorType(weights[-1].shape, int64))
    clocked = replace(program, weights=(*program.weights, clock))
    target = Target.host()
    with LOCK:
        text = emit_program(clocked, target, python=has_fast_entry(), timed=True)
        code = Code(lambda: text, compile_module(text, target), target, from_cache=False)
    return link(clocked, code, weights, threads=threads, lock=None, fallback=None)
