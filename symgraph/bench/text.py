"""Figures as words, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

US, MS = 1e-6, 1e-3
NONE = "-"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table of figures with goals. `goal` is a bound on `value`, from below if `at_least`."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    def cells(self) -> list[str]:
        found = number(self.value, self.unit)
        if self.goal is None:
            return [self.what, found, "", ""]
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        bound = f"{'at least' if self.at_least else 'at most'} {number(self.goal, self.unit)}"
        return [self.what, found, bound, yes(met)]


def lines(found: Iterable[Line]) -> str:
    """A table of figures with their goals; nothing for no lines."""
    cells = [line.cells() for line in found]
    return table(["what", "symgraph", "goal", "met"], cells) if cells else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Markdown; all columns but the first `left` hold figures. Nothing for no rows."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    found = list(rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *found)) if found else ""


def yes(met: bool) -> str:
    return "yes" if met else "**no**"


def duration(value: float | None) -> str:
    """Seconds in the unit that suits them."""
    if value is None:
        return NONE
    unit, scale = ("s", 1.0) if value >= 1 else ("ms", MS) if value >= MS else ("us", US)
    return number(value / scale, unit)


def number(value: float, unit: str) -> str:
    """Three digits, more where the number is whole."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    else:
        digits = f"{value:.1e}"
    return f"{digits}x" if unit == "x" else f"{digits} {unit}".strip()


def mebibytes(value: float) -> str:
    return number(value / 2**20, "MiB")
