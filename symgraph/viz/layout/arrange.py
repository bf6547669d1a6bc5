"""From a picture to places: clusters are laid out first, then stand as single items among the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from symgraph.viz.layout.engine import TAG_HEIGHT, TAG_LINES, Piece, prepare, upwards
from symgraph.viz.layout.lines import Placed, draw_lines
from symgraph.viz.layout.sheet import Arc, Sheet
from symgraph.viz.picture import Picture
from symgraph.viz.style import LABEL_SIZE, box_size, text_width

FRAME = 10.0  # between a cluster's frame and its boxes
FRAME_TITLE = 18.0


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
    """A reference at a box in place of a line that would be too long; `source` is a box, None for `+n more`."""

    place: Rectangle
    source: int | None
    more: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """The line of edge `edge` of the picture, in pieces that join end to start."""

    edge: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Layout:
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
        self.room = self._rooms()
        self.items = _items(picture)  # of the outer sheet, each a list of boxes
        self.item_of = {box: i for i, boxes in enumerate(self.items) for box in boxes}
        self.inner = {i: self._inside(i) for i, boxes in enumerate(self.items) if self._framed(boxes)}

    def _framed(self, boxes: Sequence[int]) -> bool:
        return self.picture.boxes[boxes[0]].cluster is not None

    def _rooms(self) -> list[float]:
        """Width that a box needs with the label under it."""
        room = [width for width, _ in self.sizes]
        for edge in self.picture.edges:
            room[edge.source] = max(room[edge.source], text_width(edge.label, LABEL_SIZE) + 4.0)
        return room

    def _inside(self, item: int) -> _Inside:
        return _Inside(self, item)

    def layout(self) -> Layout:
        sheet, edges_of = self._outer_sheet()
        placed = draw_lines(prepare(sheet, wrap=True))
        boxes: list[Rectangle | None] = [None] * len(self.picture.boxes)
        lines: dict[int, list[Piece]] = {}
        frames = []
        for index, piece in placed.lines.items():
            for edge in sheet.arcs[index].edges:
                lines[edge] = [piece]
        for item, members in enumerate(self.items):
            x, y = placed.x[item], placed.y[item]
            inside = self.inner.get(item)
            if inside is None:
                boxes[members[0]] = self._rectangle(members[0], x, y)
                continue
            left, top = x - inside.width / 2, y - inside.height / 2
            frames.append(Frame(self.cluster(item), Rectangle(left, top, inside.width, inside.height)))
            inside.put(left, top, boxes, lines, set(placed.lines), edges_of)
        ordered = tuple(Line(e, tuple(lines[e])) for e in sorted(lines))
        done = tuple(b for b in boxes if b is not None)
        tags = tuple(self._tags(sheet, placed))
        return Layout(placed.width, placed.height, done, ordered, tuple(frames), tags)

    def cluster(self, item: int) -> int:
        number = self.picture.boxes[self.items[item][0]].cluster
        assert number is not None
        return number

    def _rectangle(self, box: int, x: float, y: float) -> Rectangle:
        width, height = self.sizes[box]
        return Rectangle(x - width / 2, y - height / 2, width, height)

    def lane(self, item: int) -> int:
        """A cluster stands in the first lane that all its boxes may stand in: the last of theirs."""
        return max(self.picture.boxes[box].lane.value for box in self.items[item])

    def _outer_sheet(self) -> tuple[Sheet, dict[int, int]]:
        """The sheet of items, and for each edge between items the arc that draws it."""
        arcs: dict[tuple[int, int, float | None, float | None], Arc] = {}
        edges_of: dict[int, int] = {}
        for number, edge in enumerate(self.picture.edges):
            source, target = self.item_of[edge.source], self.item_of[edge.target]
            if source == target:
                continue
            leave = self.inner[source].exit_of(edge.source) if source in self.inner else None
            enter = self.inner[target].entry_of(edge.source) if target in self.inner else None
            key = (source, target, leave, enter)
            arc = arcs.setdefault(key, Arc(source, target, leave, enter))
            arc.edges.append(number)
            edges_of[number] = list(arcs).index(key) if False else -1
        ordered = list(arcs.values())
        for index, arc in enumerate(ordered):
            edges_of.update(dict.fromkeys(arc.edges, index))
        widths, heights = [], []
        for item, members in enumerate(self.items):
            inside = self.inner.get(item)
            widths.append(inside.width if inside else self.room[members[0]])
            heights.append(inside.height if inside else self.sizes[members[0]][1])
        lanes = [self.lane(item) for item in range(len(self.items))]
        return Sheet(widths, heights, lanes, ordered), edges_of

    def _tags(self, sheet: Sheet, placed: Placed) -> list[Tag]:
        tags = []
        for item, arcs in placed.tags.items():
            up = upwards(sheet.lanes[item])
            half = sheet.heights[item] / 2
            shown = arcs if len(arcs) <= TAG_LINES else arcs[: TAG_LINES - 1]
            for i, arc in enumerate(shown):
                edge = self.picture.edges[sheet.arcs[arc].edges[0]]
                tags.append(Tag(_tag_place(placed, item, half, i, up, sheet.widths[item]), edge.source))
            if len(shown) < len(arcs):
                place = _tag_place(placed, item, half, len(shown), up, sheet.widths[item])
                tags.append(Tag(place, None, len(arcs) - len(shown)))
        return tags


def _tag_place(placed: Placed, item: int, half: float, i: int, up: bool, width: float) -> Rectangle:
    y = placed.y[item] + (half + i * TAG_HEIGHT if up else -half - (i + 1) * TAG_HEIGHT)
    wide = max(width, 60.0)
    return Rectangle(placed.x[item] - wide / 2, y, wide, TAG_HEIGHT)
