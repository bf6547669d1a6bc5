"""From a picture to places: clusters are laid out first, then stand as single items among the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from symgraph.viz.layout.cluster import Inside, items_of
from symgraph.viz.layout.engine import TAG_HEIGHT, TAG_LINES, Piece, prepare, upwards
from symgraph.viz.layout.lines import Placed, draw_lines
from symgraph.viz.layout.rows import consistent_lanes
from symgraph.viz.layout.sheet import Arc, Sheet
from symgraph.viz.picture import Picture
from symgraph.viz.style import LABEL_SIZE, box_size, text_width


@dataclass(frozen=True, slots=True)
class Rectangle:
    """x, y of the left upper corner, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of (a piece of) cluster `number`."""

    number: int
    place: Rectangle


@dataclass(frozen=True, slots=True)
class Tag:
    """A reference at a box instead of a line that would be too long: to box `source`, or to `more` boxes."""

    place: Rectangle
    source: int
    more: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """The line of an edge (by its index in the picture), in pieces that join end to start."""

    edge: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """`boxes` are in the picture's order; everything is in pixels, y downwards."""

    width: float
    height: float
    boxes: tuple[Rectangle, ...]
    lines: tuple[Line, ...]
    frames: tuple[Frame, ...]
    tags: tuple[Tag, ...]


def arrange(picture: Picture) -> Layout:
    """Places for everything. Time grows a little faster than linearly; 10,000 boxes take seconds."""
    return _Arrangement(picture).layout()


class _Arrangement:
    def __init__(self, picture: Picture):
        self.picture = picture
        self.sizes = [box_size(box) for box in picture.boxes]
        self.rooms = self._rooms()
        self.items = items_of(picture)
        self.item_of = {box: i for i, boxes in enumerate(self.items) for box in boxes}
        self.lanes = self._lanes()
        self.inside: dict[int, Inside] = {}
        for item, boxes in enumerate(self.items):
            if picture.boxes[boxes[0]].cluster is not None:
                self.inside[item] = Inside(picture, boxes, self.rooms, upwards(self.lanes[item]))

    def _rooms(self) -> list[tuple[float, float]]:
        """Sizes of the boxes, as wide as the label under each needs."""
        wide = [width for width, _ in self.sizes]
        for edge in self.picture.edges:
            wide[edge.source] = max(wide[edge.source], text_width(edge.label, LABEL_SIZE) + 4.0)
        return [(w, height) for w, (_, height) in zip(wide, self.sizes, strict=True)]

    def _lanes(self) -> list[int]:
        """A cluster stands in the lane of most of its boxes, unless that makes lines run in circles."""
        lanes = [self._lane(boxes) for boxes in self.items]
        pairs = {(self.item_of[e.source], self.item_of[e.target]) for e in self.picture.edges}
        return consistent_lanes(lanes, sorted((a, b) for a, b in pairs if a != b))

    def _lane(self, boxes: list[int]) -> int:
        count = Counter(self.picture.boxes[box].lane.value for box in boxes)
        return min(count, key=lambda lane: (-count[lane], lane))

    def layout(self) -> Layout:
        sheet = self._outer_sheet()
        placed = draw_lines(prepare(sheet, wrap=True))
        boxes: dict[int, Rectangle] = {}
        frames = []
        incoming: dict[int, Piece] = {}
        outgoing: dict[int, Piece] = {}
        middle = {e: piece for index, piece in placed.lines.items() for e in sheet.arcs[index].edges}
        for item, members in enumerate(self.items):
            x, y = placed.x[item], placed.y[item]
            inside = self.inside.get(item)
            if inside is None:
                boxes[members[0]] = self._rectangle(members[0], x, y)
                continue
            left, top = x - inside.width / 2, y - inside.height / 2
            frames.append(Frame(self._cluster(item), Rectangle(left, top, inside.width, inside.height)))
            for i, box in enumerate(members):
                boxes[box] = self._rectangle(box, *inside.centre(i, left, top))
            for arc, piece in inside.lines(left, top):
                table = incoming if inside.is_entry(arc) else outgoing
                table.update(dict.fromkeys(arc.edges, piece))
        lines = []
        for edge in range(len(self.picture.edges)):
            pieces = tuple(table[edge] for table in (outgoing, middle, incoming) if edge in table)
            if pieces and (edge in middle or edge not in incoming):
                lines.append(Line(edge, pieces))
        tags = tuple(self._tags(sheet, placed))
        done = tuple(boxes[i] for i in range(len(self.picture.boxes)))
        return Layout(placed.width, placed.height, done, tuple(lines), tuple(frames), tags)

    def _cluster(self, item: int) -> int:
        number = self.picture.boxes[self.items[item][0]].cluster
        assert number is not None
        return number

    def _rectangle(self, box: int, x: float, y: float) -> Rectangle:
        width, height = self.sizes[box]
        return Rectangle(x - width / 2, y - height / 2, width, height)

    def _outer_sheet(self) -> Sheet:
        arcs: dict[tuple[int, int, float | None, float | None], Arc] = {}
        for number, edge in enumerate(self.picture.edges):
            source, target = self.item_of[edge.source], self.item_of[edge.target]
            if source == target:
                continue
            leave = self.inside[source].exit_offset(edge.source) if source in self.inside else None
            enter = self.inside[target].entry_offset(edge.source) if target in self.inside else None
            arc = arcs.setdefault((source, target, leave, enter), Arc(source, target, leave, enter))
            arc.edges.append(number)
        sizes = []
        for item, members in enumerate(self.items):
            inside = self.inside.get(item)
            sizes.append((inside.width, inside.height) if inside else self.rooms[members[0]])
        return Sheet([w for w, _ in sizes], [h for _, h in sizes], self.lanes, list(arcs.values()))

    def _tags(self, sheet: Sheet, placed: Placed) -> list[Tag]:
        tags = []
        for item, arcs in placed.tags.items():
            count = len(arcs) if len(arcs) <= TAG_LINES else TAG_LINES - 1
            for i, arc in enumerate(arcs[: count + (count < len(arcs))]):
                edge = self.picture.edges[sheet.arcs[arc].edges[0]]
                more = len(arcs) - count if i == count else 0
                tags.append(Tag(self._tag_place(sheet, placed, item, i), edge.source, more))
        return tags

    def _tag_place(self, sheet: Sheet, placed: Placed, item: int, i: int) -> Rectangle:
        half = sheet.heights[item] / 2
        shift = half + i * TAG_HEIGHT if upwards(sheet.lanes[item]) else -half - (i + 1) * TAG_HEIGHT
        width = max(sheet.widths[item], 60.0)
        return Rectangle(placed.x[item] - width / 2, placed.y[item] + shift, width, TAG_HEIGHT)
