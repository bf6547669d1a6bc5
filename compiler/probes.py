"""What this machine can do, as kernels to time: a loop of nothing but fma, and a triad over memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np

from compiler.jit.load import load
from compiler.llvm.target import CACHES, Target
from compiler.loop.grammar import (
    Alloc,
    Buffer,
    Const,
    For,
    Index,
    Kernel,
    Load,
    Mode,
    Statement,
    Store,
    call,
)
from compiler.program import Argument, Launch, Place, Program
from symgraph.types import TensorType, float32, int64

TASKS = 8  # shares for the threads; each works on memory of its own
FMAS = 1 << 16  # rounds of a task
MOVED = 1 << 26  # bytes that a call of a small triad moves at least
L3 = 8 << 20  # where the system does not tell
OWN = ("L1", "L2")  # levels that each core has for itself
FILL = 0.6  # of a cache: what the triad's arrays take of it
FEWEST, PROBING = 9, 0.1  # how often, and for how many seconds, a probe is timed for a profile

TASK, ROUND, CHAIN, LANE = (Index(name) for name in ("task", "round", "chain", "lane"))


@dataclass(frozen=True, slots=True)
class Probe:
    """`call()` does so many flops and moves so many bytes."""

    call: Callable[[], object]
    flops: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What kernels cannot exceed: flops and bytes per second."""

    flops: float
    bandwidth: float

    def seconds(self, flops: int, moved: int) -> float:
        """The least time for so much work (the roofline: Williams, Waterman and Patterson 2009)."""
        return max(flops / self.flops, moved / self.bandwidth)

    def bound_by_memory(self, flops: int, moved: int) -> bool:
        return moved / self.bandwidth > flops / self.flops


def least_seconds(probe: Probe, seconds: float) -> float:
    """The quickest of the probe's calls within `seconds`: what disturbs it can only slow it down."""
    probe.call()
    times: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(times) < FEWEST:
        start = perf_counter()
        probe.call()
        times.append(perf_counter() - start)
    return min(times)


def capacity(level: str, size: int, threads: int) -> int:
    """Bytes that so many threads have of a level of `levels`: the first two caches are each core's own."""
    return size * threads if level in OWN else size


def machine_limits(threads: int, working_set: int) -> Limits:
    """Measured at the first call: peak, and bandwidth of the smallest memory that holds the working set."""
    holding = (n for n, size in levels().items() if working_set <= capacity(n, size, threads))
    return Limits(_peak(threads), _bandwidth(threads, next(holding, "memory")))


@cache
def _peak(threads: int) -> float:
    probe = fma_probe(threads)
    return probe.flops / least_seconds(probe, PROBING)


@cache
def _bandwidth(threads: int, level: str) -> float:
    probe = level_probe(threads, level)
    return probe.bytes / least_seconds(probe, PROBING)


def level_probe(threads: int, level: str) -> Probe:
    """A triad whose arrays fit into a level, and into no smaller one."""
    size = capacity(level, levels()[level], threads)
    return triad_probe(threads, size if level == "memory" else int(FILL * size))


def levels() -> dict[str, int]:
    """Bytes of the caches: the first two of each core, the third of all; "memory" is beyond them."""
    target = Target.host()
    last = _cache_bytes(CACHES / "index3" / "size") or L3
    return {"L1": target.l1, "L2": target.l2, "L3": max(last, target.l2), "memory": 4 * max(last, L3)}


def fma_probe(threads: int) -> Probe:
    """Independent chains of fma in registers, as many as hide its latency."""
    target = Target.host()
    lanes, chains = target.vector_bits // 32, target.vector_registers * 3 // 4
    x, y = Buffer("x", float32, (lanes,)), Buffer("y", float32, (lanes,))
    # Chains that start alike would be one to the optimizer.
    starts = Buffer("starts", float32, (chains, lanes))
    out, held = Buffer("out", float32, (TASKS, chains, lanes)), Buffer("held", float32, (chains, lanes))
    place = (CHAIN, LANE)
    step = call("fma", Load(held, place), Load(y, (LANE,)), Load(x, (LANE,)))
    body = (
        Alloc(held),
        _each(chains, lanes, Store(held, place, Load(starts, place))),
        _loop(ROUND, FMAS, _each(chains, lanes, Store(held, place, step))),
        _each(chains, lanes, Store(out, (TASK, CHAIN, LANE), Load(held, place))),
    )
    sources = np.arange(chains * lanes, dtype=np.float32).reshape(chains, lanes)
    arrays = (np.ones(lanes, np.float32), np.full(lanes, 0.5, np.float32), sources)
    function = _function((x, y, starts), out, body, threads, arrays)
    return Probe(function, flops=2 * TASKS * FMAS * chains * lanes)


def triad_probe(threads: int, size: int) -> Probe:
    """out = a * s + b over `size` bytes in all three arrays, again and again where they fit a cache.

    Each thread keeps to its own share. Beyond the caches it stores past them, as large kernels do.
    """
    beyond = size >= levels()["memory"]
    tasks = TASKS if beyond else threads
    length = max(64, size // (12 * tasks) // 64 * 64)
    rounds = 1 if beyond else max(1, MOVED // (12 * tasks * length))
    a, b, out = (Buffer(name, float32, (tasks, length)) for name in ("a", "b", "out"))
    at = (TASK, LANE)
    total = call("fma", Load(a, at), Const(0.5, float32), Load(b, at))
    sweep = _loop(LANE, length, Store(out, at, total, streaming=beyond), mode="vector")
    arrays = tuple(np.ones((tasks, length), np.float32) for _ in range(2))
    f = _function((a, b), out, (_loop(ROUND, rounds, sweep),), threads, arrays)
    return Probe(f, flops=2 * tasks * length * rounds, bytes=12 * tasks * length * rounds)


def _function(
    inputs: tuple[Buffer, ...], out: Buffer, body: tuple[Statement, ...], threads: int,
    arrays: tuple[np.ndarray, ...],
) -> Callable[[], object]:  # fmt: skip
    """One launch of the body for all tasks, in parallel."""
    tasks = out.shape[0]
    kernel = Kernel("probe", (*inputs, out), (), (_loop(TASK, int(tasks), *body, mode="parallel"),))
    places = (*(Place("input", i) for i in range(len(inputs))), Place("output", 0))
    program = Program(
        name="probe",
        inputs=tuple(Argument(b.name, TensorType(b.shape, b.dtype)) for b in inputs),
        outputs=(Argument(out.name, TensorType(out.shape, out.dtype)),),
        weights=(),
        dims=(),
        slots=(),
        launches=(Launch(kernel, places, ()),),
    )
    f = load(program, threads=threads)
    return lambda: f(*arrays)


def _loop(at: Index, stop: int, *body: Statement, mode: Mode = "serial") -> For:
    return For(at.name, Const(0, int64), Const(stop, int64), body, mode=mode)


def _each(chains: int, lanes: int, statement: Statement) -> For:
    return _loop(CHAIN, chains, _loop(LANE, lanes, statement, mode="vector"), mode="unroll")


def _cache_bytes(path: Path) -> int:
    """`32768K` as Linux writes it; 0 where it does not say."""
    try:
        text = path.read_text().strip()
    except OSError:
        return 0
    return int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}[text[-1]] if text[-1:] in "KM" else 0
