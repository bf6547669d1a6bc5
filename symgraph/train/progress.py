"""Progress of a training run: a bar on a terminal, one line an epoch in a log."""

from __future__ import annotations

import importlib
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO


class Progress:
    """`with Progress("compiled", epochs=15, steps=23) as progress: progress.step(loss) ...`.

    Writes to `stream` (stderr). Without tqdm a terminal gets the lines of a log. `quiet` writes nothing.
    """

    def __init__(
        self, title: str, epochs: int, steps: int, stream: TextIO | None = None, quiet: bool = False
    ):
        self.title = title
        self.epochs = epochs
        self.steps = steps
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._bar = None if quiet else _bar(title, epochs * steps, self._stream)
        self._losses: list[float] = []
        self._epoch = 0
        self._start = time.perf_counter()

    def step(self, loss: float) -> None:
        """One step is done."""
        self._losses.append(loss)
        if self._bar is not None:
            self._bar.update()
        if len(self._losses) == self.steps:
            self._end_epoch()

    def _end_epoch(self) -> None:
        self._epoch += 1
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {self._epoch}/{self.epochs}, loss {mean:.4f}")
        elif not self._quiet:
            seconds = time.perf_counter() - self._start
            line = f"{self.title}: epoch {self._epoch}/{self.epochs}, loss {mean:.4f}, {seconds:.1f} s"
            print(line, file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(title: str, total: int, stream: TextIO) -> Any:
    """tqdm's bar where there is a terminal and tqdm, else None."""
    if not stream.isatty():
        return None
    try:
        tqdm = importlib.import_module("tqdm")  # optional: the extra `demo`
    except ImportError:
        return None
    return tqdm.tqdm(total=total, desc=title, unit=" steps", file=stream, dynamic_ncols=True)
