"""What was measured, as it is stored: the page is written from it, at once or later."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from symgraph.errors import InputError
from symgraph.io.atomic import replace_file

OURS = "symgraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row in one engine. `seconds` are the medians of its turns, sorted.

    `first` is from the arrays to the first result, `compiling` what sg.function took of it with an empty
    cache and `cached` with a filled one; `peak` is the most memory that the process held, in bytes.
    """

    engine: str
    row: str
    threads: int
    seconds: tuple[float, ...] = ()
    first: float
    peak: int
    compiling: float | None = None
    cached: float | None = None

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """From the quickest turn to the slowest, as a share of the median."""
        return (self.seconds[-1] - self.seconds[0]) / self.median


@dataclass(frozen=True, slots=True)
class Missing:
    """A row that an engine could not run, and why."""

    engine: str
    row: str
    threads: int
    reason: str


@dataclass(slots=True)
class Results:
    """`described` are a row's bytes, flops and kernels by "row threads"; `own` the figures without peers;
    `roofline` what the machine can do by threads."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    own: dict[str, dict[str, float]] = field(default_factory=dict)
    roofline: dict[str, Any] = field(default_factory=dict)

    def of(self, row: str, threads: int) -> dict[str, Outcome]:
        """By engine."""
        return {o.engine: o for o in self.outcomes if (o.row, o.threads) == (row, threads)}

    def peers(self) -> list[str]:
        """Engines other than symgraph that have a figure, in order of appearance."""
        return list(dict.fromkeys(o.engine for o in self.outcomes if o.engine != OURS))

    def threads(self) -> list[int]:
        return sorted({o.threads for o in self.outcomes})

    def ratio(self, row: str, threads: int) -> float | None:
        """The quickest peer's time over symgraph's; None where either is missing."""
        found = self.of(row, threads)
        theirs = [outcome.median for engine, outcome in found.items() if engine != OURS]
        return min(theirs) / found[OURS].median if theirs and OURS in found else None

    def ratios(self, threads: int) -> dict[str, float]:
        rows = dict.fromkeys(o.row for o in self.outcomes)
        found = {row: self.ratio(row, threads) for row in rows}
        return {row: ratio for row, ratio in found.items() if ratio is not None}

    def geometric_mean(self, threads: int) -> float | None:
        """Of the rows that have a ratio."""
        return geometric_mean([*self.ratios(threads).values()])

    def forget(self, rows: Sequence[str]) -> None:
        """Drop what is known of rows that are measured anew."""
        self.outcomes = [o for o in self.outcomes if o.row not in rows]
        self.missing = [m for m in self.missing if m.row not in rows]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, [json.dumps(asdict(self), indent=1).encode()])


def geometric_mean(ratios: Sequence[float]) -> float | None:
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def load(path: Path) -> Results:
    """Results that `save` wrote. Raises InputError for another kind of file."""
    try:
        found = json.loads(path.read_text())
        outcomes = [Outcome(**{**o, "seconds": tuple(o["seconds"])}) for o in found.pop("outcomes")]
        missing = [Missing(**m) for m in found.pop("missing")]
        return Results(outcomes=outcomes, missing=missing, **found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the figures of a benchmark: {error}") from error
