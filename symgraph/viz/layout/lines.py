"""Absolute places of a prepared sheet: columns, row heights, tracks of buses, the points of every line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from symgraph.viz.layout.engine import BEND_WIDTH, Piece, Prepared, tag_height, upwards
from symgraph.viz.layout.plan import Bus
from symgraph.viz.layout.sheet import LANES
from symgraph.viz.layout.tracks import Channel

TRACK = 7.0  # between parallel lines
LABEL_ROOM = 17.0  # for the label at the beginning of a line, at either side of a gap
GUTTER = 26.0
BLOCK_GAP = 34.0


@dataclass(slots=True)
class Placed:
    """Centres of the items and the line of each arc (none for a reference). `y` is that of the box alone,
    without the tags above it."""

    width: float = 0.0
    height: float = 0.0
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    lines: dict[int, Piece] = field(default_factory=dict)
    tags: dict[int, list[int]] = field(default_factory=dict)


def draw_lines(prepared: Prepared) -> Placed:
    return _Geometry(prepared).placed()


class _Geometry:
    def __init__(self, prepared: Prepared):
        self.sheet, self.grid, self.plan = prepared.sheet, prepared.grid, prepared.plan
        self.slots, self.ports, self.tags = prepared.slots, prepared.ports, prepared.tags
        self.lanes = [lane for lane in LANES if lane in set(self.sheet.lanes)] or [0]
        self.blocks = range(len(self.grid.starts))
        self.lane_width = {key: self._width(*key) for key in self.slots.ladders}
        self._place_columns({})
        self._track_gaps()
        self._place_rows()
        self._place_columns(self._track_gutters())

    def _width(self, block: int, lane: int) -> float:
        slots = (s for row in self.slots.ladders[block, lane].rows for s in row)
        return max((self.slots.x[s] + self._slot_width(s) / 2 for s in slots), default=0.0)

    def _slot_width(self, slot: int) -> float:
        return self.sheet.widths[slot] if slot < len(self.sheet) else BEND_WIDTH

    # --- columns: lanes and gutters from left to right ---

    def _place_columns(self, tracks: dict[tuple[int, int], int]) -> None:
        self.lane_x: dict[tuple[int, int], float] = {}
        self.gutter_x: dict[tuple[int, int], float] = {}
        cursor = 0.0
        for block in self.blocks:
            for lane in self.lanes:
                self.lane_x[block, lane] = cursor
                cursor += self.lane_width[block, lane]
                self.gutter_x[block, lane] = cursor + GUTTER / 2
                lines = tracks.get((block, lane), 1 if not tracks else 0)
                last = lane == self.lanes[-1]
                cursor += GUTTER + TRACK * max(lines - 1, 0) if not last or lines else 0.0
            if block + 1 < len(self.grid.starts):
                cursor += BLOCK_GAP
        self.width = cursor

    def _x(self, item: int) -> float:
        return self.lane_x[self.grid.block(item), self.sheet.lanes[item]] + self.slots.x[item]

    def _bus_ends(self, bus: Bus) -> tuple[float, float]:
        arc = self.sheet.arcs[bus.arc]
        leave, enter = self.ports[bus.arc]
        return self._x(arc.source) + leave, self._x(arc.target) + enter

    def _owner(self, bus: Bus) -> tuple[int, float]:
        """Lines of one value share their tracks, so they are drawn as one line that branches."""
        return self.sheet.arcs[bus.arc].source, self.ports[bus.arc][0]

    # --- rows: gaps as high as their tracks need ---

    def _track_gaps(self) -> None:
        gaps: dict[tuple[int, int], Channel] = defaultdict(Channel)
        for bus in self.plan.buses:
            start, end = self._bus_ends(bus)
            owner = self._owner(bus)
            if bus.gutter is None:
                gaps[bus.leave].add(owner, start, end)
                continue
            middle = self.gutter_x[bus.gutter]
            for gap, x in ((bus.leave, start), (bus.enter, end)):
                gaps[gap].add(owner, x, middle - GUTTER)
                gaps[gap].add(owner, x, middle + GUTTER)
        self.gap_tracks = {gap: channel.assign() for gap, channel in gaps.items()}

    def _place_rows(self) -> None:
        self.row_top: dict[int, float] = {}
        self.row_end: dict[int, float] = {}
        self.height = 0.0
        tallest = [0.0] * self.grid.count
        for item, row in enumerate(self.grid.row):
            tallest[row] = max(tallest[row], self._item_height(item))
        for block in self.blocks:
            cursor = 0.0
            rows = self.grid.rows_of(block)
            for row in rows:
                cursor += self._gap_height(block, row - rows.start)
                self.row_top[row] = cursor
                cursor += tallest[row]
                self.row_end[row] = cursor
            self.height = max(self.height, cursor + self._gap_height(block, len(rows)))

    def _item_height(self, item: int) -> float:
        return self.sheet.heights[item] + tag_height(len(self.tags.get(item, ())))

    def _gap_height(self, block: int, index: int) -> float:
        _, tracks = self.gap_tracks.get((block, index), ({}, 0))
        outer = index == 0 or index == len(self.grid.rows_of(block))
        if outer and not tracks:
            return 0.0
        return 2 * LABEL_ROOM + 6.0 + TRACK * max(tracks - 1, 0)

    def _track_y(self, gap: tuple[int, int], owner: tuple[int, float]) -> float:
        block, index = gap
        rows = self.grid.rows_of(block)
        top = self.row_end[rows.start + index - 1] if index else 0.0
        return top + LABEL_ROOM + 3.0 + TRACK * self.gap_tracks[gap][0][owner]

    def _track_gutters(self) -> dict[tuple[int, int], int]:
        gutters: dict[tuple[int, int], Channel] = defaultdict(Channel)
        for bus in self.plan.buses:
            if bus.gutter is not None:
                owner = self._owner(bus)
                ends = self._track_y(bus.leave, owner), self._track_y(bus.enter, owner)
                gutters[bus.gutter].add(owner, *ends)
        assigned = {gutter: channel.assign() for gutter, channel in gutters.items()}
        self.gutter_tracks = {gutter: tracks for gutter, (tracks, _) in assigned.items()}
        return {gutter: count for gutter, (_, count) in assigned.items()} or {(-1, -1): 0}

    # --- lines ---

    def placed(self) -> Placed:
        items = range(len(self.sheet))
        result = Placed(self.width, self.height, [self._x(i) for i in items], [self._y(i) for i in items])
        for index in self.plan.ladders:
            result.lines[index] = self._ladder_line(index)
        for bus in self.plan.buses:
            result.lines[bus.arc] = self._bus_line(bus)
        result.tags = self.tags
        return result

    def _y(self, item: int) -> float:
        row = self.grid.row[item]
        shift = tag_height(len(self.tags.get(item, ()))) / 2
        return (self.row_top[row] + self.row_end[row]) / 2 + (
            -shift if upwards(self.sheet.lanes[item]) else shift
        )

    def _edge(self, item: int, *, leaving: bool) -> float:
        """y where lines leave or enter an item; they enter above its tags (below, in the backward lane)."""
        up = upwards(self.sheet.lanes[item])
        reach = self.sheet.heights[item] / 2
        if not leaving:
            reach += tag_height(len(self.tags.get(item, ())))
        return self._y(item) + (reach if leaving != up else -reach)

    def _row_side(self, item: int, *, leaving: bool) -> float:
        row = self.grid.row[item]
        up = upwards(self.sheet.lanes[item])
        return self.row_end[row] if leaving != up else self.row_top[row]

    def _ladder_line(self, index: int) -> Piece:
        arc = self.sheet.arcs[index]
        leave, enter = self.ports[index]
        chain = self.slots.chain[index]
        lane_x = self.lane_x[self.grid.block(arc.source), self.sheet.lanes[arc.source]]
        start, end = self._x(arc.source) + leave, self._x(arc.target) + enter
        points = [(start, y(arc.source, leaving=True)) for y in (self._edge, self._row_side)]
        step = 1 if self.grid.row[arc.target] > self.grid.row[arc.source] else -1
        for i, slot in enumerate(chain[1:-1], start=1):
            row = self.grid.row[arc.source] + i * step
            sides = (self.row_top[row], self.row_end[row])
            points += [(lane_x + self.slots.x[slot], y) for y in (sides if step > 0 else sides[::-1])]
        points += [(end, y(arc.target, leaving=False)) for y in (self._row_side, self._edge)]
        return Piece(tuple(points), True)

    def _bus_line(self, bus: Bus) -> Piece:
        arc = self.sheet.arcs[bus.arc]
        start, end = self._bus_ends(bus)
        owner = self._owner(bus)
        y, z = self._track_y(bus.leave, owner), self._track_y(bus.enter, owner)
        points = [(start, self._edge(arc.source, leaving=True)), (start, y)]
        if bus.gutter is not None:
            x = self.gutter_x[bus.gutter] + TRACK * self.gutter_tracks[bus.gutter][owner]
            points += [(x, y), (x, z)]
        points += [(end, z), (end, self._edge(arc.target, leaving=False))]
        return Piece(tuple(points), False)
