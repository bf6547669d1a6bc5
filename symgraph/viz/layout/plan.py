"""How each arc is drawn: straight down its lane, along a bus through the gutters, or as a reference."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from symgraph.viz.layout.sheet import BACKWARD, Grid, Sheet

MAX_SPAN = 24  # rows an arc may bend through; a longer one takes the gutter
MAX_BENDS = 6  # bends an item, on average; beyond it arcs take the gutter earlier
MAX_TRACKS = 14  # lines side by side in a gutter; what finds no room becomes a reference


@dataclass(slots=True)
class Bus:
    """An arc through gutters: out into a gap between rows, along a gutter, in from another gap.

    A gap is (block, index): 0 is above the block's first row. Without a gutter both gaps are one.
    """

    arc: int
    leave: tuple[int, int]
    enter: tuple[int, int]
    gutter: tuple[int, int] | None  # (block, lane): the one to the right of that lane


@dataclass(slots=True)
class Plan:
    """Indices of arcs by how they are drawn."""

    ladders: list[int] = field(default_factory=list)
    buses: list[Bus] = field(default_factory=list)
    references: list[int] = field(default_factory=list)


def plan_arcs(sheet: Sheet, grid: Grid) -> Plan:
    plan = Plan()
    span = MAX_SPAN
    spans = [abs(grid.row[a.source] - grid.row[a.target]) for a in sheet.arcs]
    while span > 2 and _bends(sheet, spans, span) > MAX_BENDS * len(sheet) + 200:
        span //= 2
    last_lane = max(sheet.lanes, default=0)
    wishes = []
    for index, arc in enumerate(sheet.arcs):
        here, there = grid.block(arc.source), grid.block(arc.target)
        same_lane = sheet.lanes[arc.source] == sheet.lanes[arc.target]
        if here == there and same_lane and spans[index] <= span:
            plan.ladders.append(index)
        elif abs(here - there) <= 1:
            wishes.append(_bus(sheet, grid, index, last_lane))
        else:
            plan.references.append(index)
    _admit(sheet, grid, wishes, plan)
    return plan


def _bends(sheet: Sheet, spans: list[int], limit: int) -> int:
    """Bends needed if no arc passes through more than `limit` rows; arcs of one source share them."""
    longest: dict[int, int] = {}
    for arc, span in zip(sheet.arcs, spans, strict=True):
        if span <= limit:
            longest[arc.source] = max(longest.get(arc.source, 0), span)
    return sum(longest.values())


def _bus(sheet: Sheet, grid: Grid, index: int, last_lane: int) -> Bus:
    arc = sheet.arcs[index]
    leave = _gap(grid, arc.source, below=sheet.lanes[arc.source] != BACKWARD)
    enter = _gap(grid, arc.target, below=sheet.lanes[arc.target] == BACKWARD)
    if leave == enter:
        return Bus(index, leave, enter, None)
    if leave[0] != enter[0]:
        return Bus(index, leave, enter, (min(leave[0], enter[0]), last_lane))
    return Bus(index, leave, enter, (leave[0], min(sheet.lanes[arc.source], sheet.lanes[arc.target])))


def _gap(grid: Grid, item: int, *, below: bool) -> tuple[int, int]:
    block = grid.block(item)
    return block, grid.row[item] - grid.starts[block] + below


def _admit(sheet: Sheet, grid: Grid, wishes: list[Bus], plan: Plan) -> None:
    """Let short buses in first; one whose gutter is full somewhere on its way becomes a reference."""
    load: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    taken: set[tuple[tuple[int, int], int, int]] = set()
    for bus in sorted(wishes, key=lambda b: (abs(b.leave[1] - b.enter[1]), b.arc)):
        if bus.gutter is not None:
            low, high = sorted((bus.leave[1], bus.enter[1]))
            source = sheet.arcs[bus.arc].source
            # Lines of one source share their track.
            new = [g for g in range(low, high + 1) if (bus.gutter, source, g) not in taken]
            column = load[bus.gutter]
            if any(column.get(g, 0) >= MAX_TRACKS for g in new):
                plan.references.append(bus.arc)
                continue
            for g in new:
                column[g] = column.get(g, 0) + 1
                taken.add((bus.gutter, source, g))
        plan.buses.append(bus)
    plan.references.sort()
