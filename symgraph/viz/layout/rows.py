"""Layering: a row for every item so that arcs run one way, are short, and no row grows too wide."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt
from statistics import median_low

from symgraph.viz.layout.sheet import BACKWARD, FORWARD, UPDATE, Arc, Sheet

SWEEPS = 6
NARROWEST = 10  # items a row may always hold


def assign_rows(sheet: Sheet) -> list[int]:
    """A row for each item, from 0. The constraints of the lanes must not contradict each other.

    Longest path with a bound on the width, then sweeps that move items towards their neighbours.
    """
    if not len(sheet):
        return []
    graph = _Constraints(sheet)
    order = graph.order()
    assert len(order) == len(sheet), "the arcs of a sheet run in a circle"
    rows = _Rows(sheet, graph, max(NARROWEST, isqrt(len(sheet) // 3)))
    rows.place(order)
    if BACKWARD in sheet.lanes:
        rows.lower(reversed(order))
    for _ in range(SWEEPS):
        rows.balance(order)
        rows.balance(reversed(order))
    return _pinned(sheet, _without_gaps(rows.row))


def consistent_lanes(lanes: list[int], pairs: list[tuple[int, int]]) -> list[int]:
    """The lanes, or one lane for all where arcs up and down between them would close a circle."""
    sheet = Sheet([0.0] * len(lanes), [0.0] * len(lanes), lanes, [Arc(a, b) for a, b in pairs])
    return lanes if len(_Constraints(sheet).order()) == len(lanes) else [FORWARD] * len(lanes)


class _Constraints:
    """Above and below, as tables: for each item (neighbour, rows between at least, in another lane)."""

    def __init__(self, sheet: Sheet):
        self.above: list[list[tuple[int, int]]] = [[] for _ in range(len(sheet))]
        self.below: list[list[tuple[int, int]]] = [[] for _ in range(len(sheet))]
        for upper, lower, gap in sheet.constraints():
            self.above[lower].append((upper, gap))
            self.below[upper].append((lower, gap))
        self.follows: list[list[int]] = [[] for _ in range(len(sheet))]
        for source, target in sheet.followers():
            self.follows[target].append(source)

    def order(self) -> list[int]:
        """Upper items first; shorter than the sheet if there is a cycle."""
        waiting = [len(a) for a in self.above]
        order = [i for i, count in enumerate(waiting) if not count]
        for item in order:  # grows while it is read
            for lower, _ in self.below[item]:
                waiting[lower] -= 1
                if not waiting[lower]:
                    order.append(lower)
        return order


class _Rows:
    def __init__(self, sheet: Sheet, graph: _Constraints, capacity: int):
        self.lanes, self.graph, self.capacity = sheet.lanes, graph, capacity
        self.row = [0] * len(sheet)
        self.load: dict[tuple[int, int], int] = {}
        self.jump: dict[tuple[int, int, int], int] = {}

    def place(self, order: list[int]) -> None:
        """Every item below those above it; forward sources afterwards, right above their first user."""
        sources = [i for i in order if not self.graph.above[i] and self.lanes[i] == FORWARD]
        is_source = set(sources)
        for item in order:
            if item not in is_source:
                above = (self.row[u] + gap for u, gap in self.graph.above[item] if u not in is_source)
                self._put(item, max(above, default=0), 1)
        for item in reversed(sources):
            lowest = min((self.row[w] - gap for w, gap in self.graph.below[item]), default=0)
            self._put(item, lowest, -1)

    def _put(self, item: int, start: int, direction: int) -> None:
        """The first row from `start` that has room, going down or up."""
        lane = self.lanes[item]
        row, passed = start, []
        while self.load.get((lane, row), 0) >= self.capacity:
            passed.append(row)
            row = self.jump.get((lane, row, direction), row + direction)
        for full in passed:  # the next search jumps over all of them
            self.jump[lane, full, direction] = row
        self.row[item] = row
        self.load[lane, row] = self.load.get((lane, row), 0) + 1

    def lower(self, order: Iterable[int]) -> None:
        """Let everything hang as low as it may: then nothing keeps the forward lane from standing beside the
        backward one, which is longer."""
        last = max(self.row)
        for item in order:
            limits = [self.row[w] - gap for w, gap in self.graph.below[item]]
            if limits and self.lanes[item] != UPDATE:
                self._sink(item, min(limits))
            elif self.lanes[item] == FORWARD and self.graph.above[item]:
                self._sink(item, last)

    def _sink(self, item: int, lowest: int) -> None:
        """Down to the first row from `lowest` up that has room."""
        row = lowest
        while row > self.row[item] and self.load.get((self.lanes[item], row), 0) >= self.capacity:
            row -= 1
        self._move(item, max(row, self.row[item]))

    def balance(self, order: Iterable[int]) -> None:
        """Move each item of `order` in turn to the row it wants, where that has room."""
        for item in order:
            wanted = self._wanted(item)
            if wanted is not None:
                self._move(item, wanted)

    def _move(self, item: int, wanted: int) -> None:
        lane, row = self.lanes[item], self.row[item]
        if wanted != row and self.load.get((lane, wanted), 0) < self.capacity:
            self.load[lane, row] -= 1
            self.load[lane, wanted] = self.load.get((lane, wanted), 0) + 1
            self.row[item] = wanted

    def _wanted(self, item: int) -> int | None:
        """Level with the neighbours in other lanes; else between those above and those below."""
        above = [(self.row[upper] + gap, gap) for upper, gap in self.graph.above[item]]
        below = [(self.row[lower] - gap, gap) for lower, gap in self.graph.below[item]]
        level = [row for row, gap in (*above, *below) if not gap]
        level += [self.row[source] for source in self.graph.follows[item]]
        near = [row for row, _ in (*above, *below)]
        if not level and not near:
            return None
        wanted = median_low(level or near)
        wanted = min([wanted, *(row for row, _ in below)])
        return max([wanted, *(row for row, _ in above)])


def _without_gaps(rows: list[int]) -> list[int]:
    number = {row: i for i, row in enumerate(sorted(set(rows)))}
    return [number[row] for row in rows]


def _pinned(sheet: Sheet, rows: list[int]) -> list[int]:
    """Entries in a row of their own where arcs come in, exits where they leave."""
    if not sheet.entries and not sheet.exits:
        return rows
    inner = [r for i, r in enumerate(rows) if i not in sheet.entries and i not in sheet.exits]
    first, last = min(inner, default=0), max(inner, default=0)
    downwards = sheet.lanes[0] != BACKWARD
    come, leave = (first - 1, last + 1) if downwards else (last + 1, first - 1)
    moved = [come if i in sheet.entries else leave if i in sheet.exits else r for i, r in enumerate(rows)]
    return _without_gaps(moved)
