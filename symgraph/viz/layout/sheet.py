"""What the steps of the layout pass on: items of a size in lanes, arcs between them, rows and blocks."""

from __future__ import annotations

from dataclasses import dataclass, field

FORWARD, BACKWARD, UPDATE = range(3)
LANES = (FORWARD, BACKWARD, UPDATE)


@dataclass(slots=True)
class Arc:
    """An edge between items. A port is the offset from an item's centre, None where it is free to choose."""

    source: int
    target: int
    source_port: float | None = None
    target_port: float | None = None
    edges: list[int] = field(default_factory=list)  # indices of the picture's edges that it draws


@dataclass(slots=True)
class Sheet:
    """Items to be laid out. In the backward lane arcs run upwards, in the others downwards.

    `entries` are held in the row where arcs come in, `exits` in the one where they leave.
    """

    widths: list[float]
    heights: list[float]
    lanes: list[int]
    arcs: list[Arc]
    entries: set[int] = field(default_factory=set)
    exits: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.widths)

    def constraints(self) -> list[tuple[int, int, int]]:
        """(upper, lower, rows between them at least) for each arc, but those into the update lane."""
        result = []
        for arc in self.arcs:
            here, there = self.lanes[arc.source], self.lanes[arc.target]
            if here == there == BACKWARD:
                result.append((arc.target, arc.source, 1))
            elif here == there:
                result.append((arc.source, arc.target, 1))
            elif there == BACKWARD:
                result.append((arc.source, arc.target, 0))
        return result

    def followers(self) -> list[tuple[int, int]]:
        """(source, target) of the arcs into the update lane: an update may stand level with its gradient."""
        into = (arc for arc in self.arcs if self.lanes[arc.target] == UPDATE)
        return [(arc.source, arc.target) for arc in into if self.lanes[arc.source] != UPDATE]


@dataclass(slots=True)
class Grid:
    """Rows of a sheet cut into blocks, which are drawn side by side: the row of each item, from 0 down."""

    row: list[int]
    starts: list[int]  # the first row of each block
    count: int  # rows in all
    block_of_row: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        ends = [*self.starts[1:], self.count]
        for block, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            self.block_of_row += [block] * (end - start)

    def block(self, item: int) -> int:
        return self.block_of_row[self.row[item]]

    def rows_of(self, block: int) -> range:
        end = self.starts[block + 1] if block + 1 < len(self.starts) else self.count
        return range(self.starts[block], end)
