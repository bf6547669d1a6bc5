"""Timing calls against each other, and in processes of their own."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]
SAMPLE = 2e-4  # seconds: shorter calls are timed several at once, so that the clock's own cost vanishes
WARM_UP = 3
FEWEST = 7


def medians(calls: Mapping[str, Call], seconds: float) -> dict[str, float]:
    """The median seconds of each call; the calls take turns, so that a slow moment strikes them all."""
    repeats = {name: _repeats(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or any(len(found) < FEWEST for found in times.values()):
        for name, call in calls.items():
            count = range(repeats[name])
            start = time.perf_counter()
            for _ in count:
                call()
            times[name].append((time.perf_counter() - start) / len(count))
    return {name: statistics.median(found) for name, found in times.items()}


def median(call: Call, seconds: float) -> float:
    return medians({"": call}, seconds)[""]


def _repeats(call: Call) -> int:
    for _ in range(WARM_UP):
        call()
    start = time.perf_counter()
    call()
    return max(1, round(SAMPLE / max(time.perf_counter() - start, 1e-9)))


def pin(threads: int = 1) -> None:
    """Keep this process on so many cores, the last that it may use, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(inherited: Mapping[str, str], threads: int = 1) -> dict[str, str]:
    """Of a measuring process: every library on so many threads, OpenBLAS as it comes."""
    made = dict(inherited)
    # Where it is set, Python would parse all of symgraph again in every process.
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        made.pop(name, None)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "SYMGRAPH_THREADS"):
        made[name] = str(threads)
    made["XLA_FLAGS"] = ONE_THREAD_OF_XLA if threads == 1 else ""
    return made


ONE_THREAD_OF_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
