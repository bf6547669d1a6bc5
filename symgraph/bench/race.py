"""Every row in every engine, side by side: one process each, kept at the start line, timed in turns.

The processes of a row prepare engine after engine. Then they take turns, a fraction of a second each, while
the others sleep; so a slow moment of the machine strikes them all. All of them run on the same cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.bench.problems import PROBLEMS
from symgraph.bench.process import Task, Worker, WorkerError
from symgraph.bench.results import OURS, Missing, Outcome, Results

TURNS = 5
PAUSE = 0.02  # seconds: what spins in a library that has just been timed goes to sleep


def race(
    rows: Sequence[str], threads: Sequence[int], seconds: float, peers: Mapping[str, str], results: Results
) -> None:
    """Measure the rows on these numbers of threads; `peers` are engines with their Pythons."""
    for name in rows:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        with ExitStack() as stack:
            heats = [_Heat(name, count, results, stack) for count in threads]
            for heat in heats:
                heat.compile_cold()
                heat.enter(heat.start(OURS, sys.executable))
            for engine, python in peers.items():
                if name in SUPPORTED.get(engine, PROBLEMS):
                    # On all numbers of threads at once: some peers take minutes.
                    started = [(heat, heat.start(engine, python)) for heat in heats]
                    for heat, worker in started:
                        heat.enter(worker)
            for heat in heats:
                heat.take_turns(seconds)


class _Heat:
    """One row on one number of threads, with a folder for answers and caches."""

    def __init__(self, row: str, threads: int, results: Results, stack: ExitStack) -> None:
        self.row, self.threads, self.results, self.stack = row, threads, results, stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.outcomes: dict[str, Outcome] = {}
        self.workers: dict[str, Worker] = {}
        self.answer: list[np.ndarray] | None = None
        self.cold: dict[str, Any] = {}

    def compile_cold(self) -> None:
        """A process of symgraph that compiles with an empty cache, and fills it."""
        with Worker(self._task(OURS, sys.executable)) as worker, suppress(WorkerError):
            self.cold = worker.listen()

    def start(self, engine: str, python: str) -> Worker:
        return self.stack.enter_context(Worker(self._task(engine, python)))

    def enter(self, worker: Worker) -> None:
        """Wait until it is ready, and let it take part if its answer is right."""
        engine = worker.task.engine
        try:
            ready = worker.listen()
            self._check(engine)
        except WorkerError as error:
            self._miss(engine, str(error))
            return
        cached = ready.get("compiling")
        ready |= self.cold if engine == OURS else {}
        self.workers[engine] = worker
        self.results.versions[engine] = ready["version"]
        self.outcomes[engine] = Outcome(
            engine=engine,
            row=self.row,
            threads=self.threads,
            first=ready["first"],
            peak=ready["peak"],
            compiling=ready.get("compiling"),
            cached=cached,
        )

    def take_turns(self, seconds: float) -> None:
        """Time everyone in turns; another one begins at each, and what ends on the way is left out."""
        found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in self.workers}
        for turn in range(TURNS):
            order = deque(found)
            order.rotate(-turn)
            for engine in order:
                if engine in self.workers:
                    self._time(engine, seconds / TURNS, found[engine])
        for engine in self.workers:
            times = tuple(sorted(reply["seconds"] for reply in found[engine]))
            peak = max(self.outcomes[engine].peak, *(reply["peak"] for reply in found[engine]))
            self.results.outcomes.append(replace(self.outcomes[engine], seconds=times, peak=peak))
        if OURS in self.workers:
            self.results.described[f"{self.row} {self.threads}"] = self.workers[OURS].ask("describe")

    def _time(self, engine: str, seconds: float, replies: list[dict[str, Any]]) -> None:
        time.sleep(PAUSE)
        try:
            replies.append(self.workers[engine].ask(f"time {seconds}"))
        except WorkerError as error:
            self._miss(engine, str(error))
            del self.workers[engine]

    def _task(self, engine: str, python: str) -> Task:
        return Task(engine, self.row, self.threads, python, self.folder)

    def _miss(self, engine: str, reason: str) -> None:
        print(f"{engine} is left out of {self.row}: {reason}", file=sys.stderr, flush=True)
        self.results.missing.append(Missing(engine, self.row, self.threads, reason))

    def _check(self, engine: str) -> None:
        """Against the first engine's answer, that is symgraph's where it runs the row. Raises WorkerError."""
        with np.load(self.folder / f"{engine}.npz") as file:
            answer = [file[key] for key in file.files]
        if self.answer is None:
            self.answer = answer
        trouble = difference(self.answer, answer, PROBLEMS[self.row].tolerance)
        if trouble:
            raise WorkerError(trouble)


SUPPORTED: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("mlp_infer1", "cnn_infer1"),
    "PyTensor": ("mlp_train", "layernorm_grad"),
    "JAX": tuple(name for name in PROBLEMS if name != "cnn_infer1"),
}


def difference(expected: Sequence[np.ndarray], found: Sequence[np.ndarray], tolerance: float) -> str:
    """How two answers differ by more than `tolerance` of the largest number in them; empty if they do not."""
    if [a.shape for a in expected] != [b.shape for b in found]:
        return f"its answer has shapes {[b.shape for b in found]}, expected {[a.shape for a in expected]}"
    for number, (a, b) in enumerate(zip(expected, found, strict=True)):
        apart, size = float(np.max(np.abs(a - b))), float(np.max(np.abs(a)))
        if not apart <= tolerance * size:
            return f"answer {number} differs by {apart:.2g} of {size:.2g}"
    return ""
