"""The layout of one sheet: rows, blocks, order, places, then the lines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from symgraph.viz.layout.columns import cut_into_blocks
from symgraph.viz.layout.order import Ladder, reduce_crossings
from symgraph.viz.layout.place import Links, place_slots
from symgraph.viz.layout.plan import Plan, plan_arcs
from symgraph.viz.layout.rows import assign_rows
from symgraph.viz.layout.sheet import BACKWARD, LANES, Arc, Grid, Sheet

BEND_WIDTH = 6.0
TAG_HEIGHT = 15.0
TAG_LINES = 3  # references shown on an item; the last says how many more there are


@dataclass(frozen=True, slots=True)
class Piece:
    """Points of a line. Smooth: straight within rows, curved in the gaps; else right angles, rounded."""

    points: tuple[tuple[float, float], ...]
    smooth: bool


@dataclass(slots=True)
class Slots:
    """Items and bends in their lanes, before anything has a place in the drawing.

    `chain[a]` are the slots that ladder arc a goes through; `x` counts from the left of lane and block.
    """

    ladders: dict[tuple[int, int], Ladder] = field(default_factory=dict)
    chain: dict[int, list[int]] = field(default_factory=dict)
    x: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class Prepared:
    """A sheet with rows, blocks, plan and places within lanes; `ports` are the arcs with ends chosen."""

    sheet: Sheet
    grid: Grid
    plan: Plan
    slots: Slots
    ports: list[tuple[float, float]]
    tags: dict[int, list[int]]  # item -> arcs into it that are drawn as references


def prepare(sheet: Sheet, *, wrap: bool) -> Prepared:
    """Everything up to places within lanes. `wrap`: a tall sheet is cut into blocks side by side."""
    row = assign_rows(sheet)
    grid = cut_into_blocks(sheet, row) if wrap else Grid(row, [0], max(row, default=0) + 1)
    plan = plan_arcs(sheet, grid)
    tags: dict[int, list[int]] = defaultdict(list)
    for index in plan.references:
        tags[sheet.arcs[index].target].append(index)
    slots = _slots(sheet, grid, plan)
    for ladder in slots.ladders.values():
        reduce_crossings(ladder)
    ports = _ports(sheet, plan, slots)
    _place(sheet, slots, ports)
    return Prepared(sheet, grid, plan, slots, ports, dict(tags))


def tag_height(count: int) -> float:
    return TAG_HEIGHT * min(count, TAG_LINES)


def _slots(sheet: Sheet, grid: Grid, plan: Plan) -> Slots:
    slots = Slots()
    for block in range(len(grid.starts)):
        for lane in LANES:
            slots.ladders[block, lane] = Ladder(len(grid.rows_of(block)))
    for item in _by_operands(sheet):
        block = grid.block(item)
        slots.ladders[block, sheet.lanes[item]].add(item, grid.row[item] - grid.starts[block])
    bends: dict[tuple[int, float | None, int], int] = {}
    joined: set[tuple[int, int]] = set()
    for index in plan.ladders:
        arc = sheet.arcs[index]
        block = grid.block(arc.source)
        ladder = slots.ladders[block, sheet.lanes[arc.source]]
        step = 1 if grid.row[arc.source] < grid.row[arc.target] else -1
        chain = [arc.source]
        for row in range(grid.row[arc.source] + step, grid.row[arc.target], step):
            # Lines of one value bend at the same slots: they are drawn as one line that branches.
            key = (arc.source, arc.source_port, row)
            if key not in bends:
                bends[key] = len(sheet) + len(bends)
                ladder.add(bends[key], row - grid.starts[block])
            chain.append(bends[key])
        chain.append(arc.target)
        for a, b in pairwise(chain):
            if (a, b) not in joined:
                joined.add((a, b))
                ladder.join(*((a, b) if step > 0 else (b, a)))
        slots.chain[index] = chain
    return slots


def _by_operands(sheet: Sheet) -> list[int]:
    """Items in the order of a walk from users to operands, so that operands start in their own order."""
    operands: list[list[int]] = [[] for _ in range(len(sheet))]
    for arc in sheet.arcs:
        operands[arc.target].append(arc.source)
    used = {arc.source for arc in sheet.arcs}
    order: dict[int, None] = {}
    started: set[int] = set()
    stack = [(i, False) for i in reversed(range(len(sheet))) if i not in used]
    while stack:
        item, done = stack.pop()
        if done:
            order.setdefault(item)
        elif item not in started:
            started.add(item)
            stack.append((item, True))
            stack.extend((i, False) for i in reversed(operands[item]) if i not in started)
    return [*order, *(i for i in range(len(sheet)) if i not in order)]


def _ports(sheet: Sheet, plan: Plan, slots: Slots) -> list[tuple[float, float]]:
    """Where arcs leave and enter: ends that are free spread over the item in the order they come from."""
    place = {s: i for ladder in slots.ladders.values() for row in ladder.rows for i, s in enumerate(row)}
    incoming: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for index, chain in slots.chain.items():
        incoming[sheet.arcs[index].target].append((place[chain[-2]], index))
    for bus in plan.buses:
        arc = sheet.arcs[bus.arc]
        from_left = sheet.lanes[arc.source] < sheet.lanes[arc.target]
        incoming[arc.target].append((-1.0 if from_left else 1e9, bus.arc))
    fed = {arc.target for arc in sheet.arcs}
    enter: dict[int, float] = {}
    for target, ends in incoming.items():
        arcs = [index for _, index in sorted(ends)]
        main = [i for i, index in enumerate(arcs) if sheet.arcs[index].source in fed]
        reach = sheet.widths[target] * (0.28 if len(ends) < 4 else 0.4)
        enter.update(zip(arcs, _spread(len(arcs), main, reach), strict=True))
    buses = {bus.arc for bus in plan.buses}
    return [_ends(sheet, arc, i in buses, enter.get(i, 0.0)) for i, arc in enumerate(sheet.arcs)]


def _spread(count: int, main: list[int], reach: float) -> list[float]:
    """Offsets of `count` ends. A single main line enters in the middle, so that it can run straight."""
    even = [reach * (2 * i / (count - 1) - 1) if count > 1 else 0.0 for i in range(count)]
    if len(main) != 1 or count > 3:
        return even
    middle = main[0]
    widest = max(middle, count - 1 - middle, 1)
    return [reach * (i - middle) / widest for i in range(count)]


def _ends(sheet: Sheet, arc: Arc, is_bus: bool, enter: float) -> tuple[float, float]:
    leave = min(0.3 * sheet.widths[arc.source], 24.0) if is_bus else 0.0
    return (
        arc.source_port if arc.source_port is not None else leave,
        arc.target_port if arc.target_port is not None else enter,
    )


def _place(sheet: Sheet, slots: Slots, ports: list[tuple[float, float]]) -> None:
    links: Links = defaultdict(list)
    fed = {arc.target for arc in sheet.arcs}
    size = len(sheet)
    linked: set[tuple[int, int, float]] = set()
    for index, chain in slots.chain.items():
        leave, enter = ports[index]
        for i, (a, b) in enumerate(pairwise(chain)):
            if (a, b, enter) in linked:
                continue
            linked.add((a, b, enter))
            shift = (leave if i == 0 else 0.0) - (enter if i == len(chain) - 2 else 0.0)
            # Long lines shall be straight, and so shall the flow of data; parameters stand beside it.
            weight = 8.0 if a >= size and b >= size else 2.0 if a in fed or a >= size else 0.3
            links[a].append((b, -shift, weight))
            links[b].append((a, shift, weight))
    widths = sheet.widths
    for ladder in slots.ladders.values():
        slots.x.update(place_slots(ladder, lambda s: widths[s] if s < size else BEND_WIDTH, links))


def upwards(lane: int) -> bool:
    return lane == BACKWARD
