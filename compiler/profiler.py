"""Where the time of a compiled function goes: each launch timed on its own, by kernel and user line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compiler.aot.files import write_files
from compiler.driver import Compiled, weight_array
from compiler.jit.function import Code, NativeFunction
from compiler.jit.load import link
from compiler.jit.runtime import thread_count
from compiler.jit.state import has_fast_entry
from compiler.llvm.engine import LOCK
from compiler.llvm.entry import emit_program
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target
from compiler.probes import machine_limits
from compiler.profile_page import page_of
from compiler.program import Argument, Program
from compiler.report import KernelLine, report_of
from compiler.timed import Timed
from symgraph.dimension import evaluate
from symgraph.errors import ExportError
from symgraph.types import TensorType, int64
from symgraph.words import counted, duration


@dataclass(frozen=True, slots=True)
class Profile:
    """`str(profile)` are two tables, slowest first: launches, and the user's lines; `save` makes a picture.

    `threads` are the function's, `working_set` the bytes of all memory that a call touches.
    """

    name: str
    launches: tuple[Timed, ...]
    threads: int
    working_set: int

    @property
    def seconds(self) -> float:
        """Of all launches, one after another."""
        return sum(t.seconds for t in self.launches)

    def by_line(self) -> dict[str, float]:
        """Seconds of each of the user's lines, slowest first. A kernel counts for the line it ends with."""
        return {line.line: line.seconds for line in self.lines()}

    def lines(self) -> list[Timed]:
        """The launches of each of the user's lines added up, slowest first."""
        groups: dict[str, list[Timed]] = {}
        for launch in self.launches:
            groups.setdefault(launch.line, []).append(launch)
        return sorted((_added(group) for group in groups.values()), key=lambda t: -t.seconds)

    def save(self, path: str | Path) -> Path:
        """Write a flame graph to one .html file that needs nothing else: kernels under modules and lines,
        width for time, colour for what holds a kernel up. The first call measures the machine's limits.

        Raises ExportError for another suffix, and where the file cannot be written; no file is changed then.
        """
        target = Path(path)
        if target.suffix != ".html":
            raise ExportError(f"a profile is saved as .html, not as {target.name!r}")
        limits = machine_limits(self.threads, self.working_set)
        text = page_of(self.name, self.launches, limits)
        return write_files(target.parent, {target.name: text.encode()}, frozenset())[target.name]

    def __str__(self) -> str:
        head = f"{self.name}: {duration(self.seconds)} in {counted(len(self.launches), 'launch', 'launches')}"
        launches = map(str, sorted(self.launches, key=lambda t: -t.seconds))
        return "\n".join([head, *launches, "by line:", *map(str, self.lines())])


def _added(group: Sequence[Timed]) -> Timed:
    """What one line costs."""
    first, launches = group[0], counted(len(group), "launch", "launches")
    sums = (sum(t.seconds for t in group), sum(t.flops for t in group), sum(t.bytes for t in group))
    return Timed("", launches, first.line, *sums, source=first.source)


def profile_graph(compiled: Compiled, arrays: Sequence[np.ndarray], calls: int) -> Profile:
    """Medians over `calls` runs of a copy of the function that reads a clock between launches.

    State is put back afterwards.
    """
    lowered, signature = compiled.lowered, compiled.native.signature
    weights = [weight_array(node) for node in lowered.memory.weights]
    kept = [w.copy() for w in weights]
    ticks = np.zeros(len(lowered.program.launches) + 1, np.int64)
    sizes = signature.sizes(list(arrays))
    try:
        run = _clocked(lowered.program, [*weights, ticks], compiled.threads)
        seconds = _seconds(run, ticks, arrays, calls)
    finally:
        for weight, value in zip(weights, kept, strict=True):
            if weight.flags.writeable:
                weight[...] = value
    lines = report_of(compiled, str).launches
    timed = (_timed(line, float(s), sizes) for line, s in zip(lines, seconds, strict=True))
    outside = sum(evaluate(a.type.bytes, sizes) for a in (*signature.inputs, *signature.outputs))
    memory = compiled.native.workspace_bytes(sizes) + outside + sum(w.nbytes for w in weights)
    return Profile(lowered.program.name, tuple(timed), thread_count(compiled.threads), memory)


def _timed(line: KernelLine, seconds: float, sizes: Mapping[str, int]) -> Timed:
    flops, moved = evaluate(line.flops, sizes), evaluate(line.bytes, sizes)
    place = line.lines[-1]
    return Timed(line.kernel, line.title, place, seconds, flops, moved, line.source, line.parameters)


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
