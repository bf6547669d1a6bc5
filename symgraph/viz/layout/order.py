"""Order within rows: few crossings, by barycentres swept down and up."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise

SWEEPS = 12
COUNTED = 3000  # slots up to which crossings are counted, so that the best sweep is kept


class Ladder:
    """The slots of one lane of one block: items, and bends of arcs that pass through a row.

    `down[s]` are the slots of the next row that slot s is joined to, `up[s]` those of the row before.
    """

    def __init__(self, rows: int):
        self.rows: list[list[int]] = [[] for _ in range(rows)]
        self.up: dict[int, list[int]] = {}
        self.down: dict[int, list[int]] = {}

    def add(self, slot: int, row: int) -> None:
        self.rows[row].append(slot)
        self.up[slot] = []
        self.down[slot] = []

    def join(self, upper: int, lower: int) -> None:
        self.down[upper].append(lower)
        self.up[lower].append(upper)


def reduce_crossings(ladder: Ladder) -> None:
    """Reorder `ladder.rows` in place."""
    size = len(ladder.up)
    counted = size <= COUNTED
    best = [list(row) for row in ladder.rows]
    fewest = crossings(ladder) if counted else 0
    for sweep in range(SWEEPS if counted else 3):
        if counted and not fewest:
            break
        downwards = sweep % 2 == 0
        _sweep(ladder, downwards)
        found = crossings(ladder) if counted else -sweep - 1
        if found < fewest:
            fewest, best = found, [list(row) for row in ladder.rows]
    ladder.rows = best


def _sweep(ladder: Ladder, downwards: bool) -> None:
    rows = ladder.rows if downwards else ladder.rows[::-1]
    neighbours = ladder.up if downwards else ladder.down
    place: dict[int, int] = {slot: i for i, slot in enumerate(rows[0])} if rows else {}
    for row in rows[1:]:
        keys = {}
        for i, slot in enumerate(row):
            joined = neighbours[slot]
            # A slot that nothing joins to the row before stays where it is.
            keys[slot] = sum(place[n] for n in joined) / len(joined) if joined else float(i)
        row.sort(key=keys.__getitem__)
        place = {slot: i for i, slot in enumerate(row)}


def crossings(ladder: Ladder) -> int:
    """Pairs of arcs that cross between neighbouring rows, by counting inversions."""
    total = 0
    for upper, lower in pairwise(ladder.rows):
        place = {slot: i for i, slot in enumerate(lower)}
        ends = [e for slot in upper for e in sorted(place[n] for n in ladder.down[slot])]
        total += _inversions(ends)
    return total


def _inversions(values: Sequence[int]) -> int:
    seen: list[int] = []
    total = 0
    for value in values:
        total += len(seen) - bisect_left(seen, value + 1)
        insort(seen, value)
    return total
