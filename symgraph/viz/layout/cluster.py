"""Clusters as items: which boxes stand together, and the layout inside one frame."""

from __future__ import annotations

from symgraph.viz.layout.engine import Piece, prepare
from symgraph.viz.layout.lines import draw_lines
from symgraph.viz.layout.sheet import BACKWARD, FORWARD, Arc, Sheet
from symgraph.viz.picture import Picture
from symgraph.viz.style import DETAIL_SIZE, text_width

FRAME = 10.0  # between a frame and its boxes
TITLE_HEIGHT = 20.0
TITLE_WIDTH = 170.0  # a longer title is cut to the frame's width
PORT = 8.0  # width kept for a line that goes through a frame

Key = tuple[int | None, int]  # cluster and level, or None and the box itself


def items_of(picture: Picture) -> list[list[int]]:
    """Boxes by the item they belong to: a cluster is one item if no path leaves it and comes back.

    Otherwise it is cut into levels (the number of times a path to a box has changed cluster), between
    which no circle is possible.
    """
    keys: list[Key] = [
        (None, i) if b.cluster is None else (b.cluster, 0) for i, b in enumerate(picture.boxes)
    ]
    whole = _grouped(keys)
    circular = _in_circles(picture, whole)
    if not circular:
        return whole
    level = _levels(picture)
    for item in circular:
        for box in whole[item]:
            if picture.boxes[box].cluster is not None:
                keys[box] = (picture.boxes[box].cluster, level[box])
    return _grouped(keys)


def _levels(picture: Picture) -> list[int]:
    level = [0] * len(picture.boxes)
    incoming: list[list[int]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        incoming[edge.target].append(edge.source)
    for index, box in enumerate(picture.boxes):
        for source in incoming[index]:
            same = box.cluster is not None and box.cluster == picture.boxes[source].cluster
            level[index] = max(level[index], level[source] + (not same))
    return level


def _grouped(keys: list[Key]) -> list[list[int]]:
    groups: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _in_circles(picture: Picture, items: list[list[int]]) -> list[int]:
    """Items on a path that comes back to them."""
    item_of = {box: i for i, boxes in enumerate(items) for box in boxes}
    after: list[dict[int, None]] = [{} for _ in items]
    for edge in picture.edges:
        source, target = item_of[edge.source], item_of[edge.target]
        if source != target:
            after[source][target] = None
    components = strong_components([list(targets) for targets in after])
    return [item for component in components if len(component) > 1 for item in component]


def strong_components(after: list[list[int]]) -> list[list[int]]:
    """Sets of nodes that reach each other: Tarjan's algorithm (1972) with a stack of its own."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    is_open: set[int] = set()
    found: list[list[int]] = []
    for root in range(len(after)):
        work = [] if root in order else [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                order[node] = low[node] = len(order)
                open_.append(node)
                is_open.add(node)
            if position < len(after[node]):
                work.append((node, position + 1))
                target = after[node][position]
                if target not in order:
                    work.append((target, 0))
                continue
            low[node] = min([low[node], *(low[t] for t in after[node] if t in is_open)])
            if low[node] == order[node]:
                cut = open_.index(node) if open_[-1] != node else len(open_) - 1
                found.append(open_[cut:])
                is_open.difference_update(open_[cut:])
                del open_[cut:]
    return found


class Inside:
    """The boxes of one frame. Lines go in and out through ports on its upper and lower side."""

    def __init__(self, picture: Picture, boxes: list[int], sizes: list[tuple[float, float]], upwards: bool):
        self.boxes = boxes
        place = {box: i for i, box in enumerate(boxes)}
        self.entries: dict[int, int] = {}  # box outside -> port
        self.exits: dict[int, int] = {}  # box inside -> port
        pairs: dict[tuple[int, int], list[int]] = {}
        for number, edge in enumerate(picture.edges):
            if edge.source not in place and edge.target not in place:
                continue
            if edge.target not in place:
                pair = (place[edge.source], self._port(self.exits, edge.source))
            elif edge.source not in place:
                pair = (self._port(self.entries, edge.source), place[edge.target])
            else:
                pair = (place[edge.source], place[edge.target])
            pairs.setdefault(pair, []).append(number)
        ports = len(self.entries) + len(self.exits)
        lane = BACKWARD if upwards else FORWARD
        self.sheet = Sheet(
            [sizes[b][0] for b in boxes] + [PORT] * ports,
            [sizes[b][1] for b in boxes] + [0.0] * ports,
            [lane] * (len(boxes) + ports),
            [Arc(a, b, edges=edges) for (a, b), edges in pairs.items()],
            set(self.entries.values()),
            set(self.exits.values()),
        )
        self.placed = draw_lines(prepare(self.sheet, wrap=False))
        self._frame(picture.clusters[picture.boxes[boxes[0]].cluster or 0], upwards)

    def _port(self, ports: dict[int, int], box: int) -> int:
        return ports.setdefault(box, len(self.boxes) + len(self.entries) + len(self.exits))

    def _frame(self, title: str, upwards: bool) -> None:
        above, below = (self.exits, self.entries) if upwards else (self.entries, self.exits)
        wanted = min(text_width(title, DETAIL_SIZE), TITLE_WIDTH)
        self.width = max(self.placed.width, wanted) + 2 * FRAME
        self.left = (self.width - self.placed.width) / 2
        self.top = 0.0 if above else TITLE_HEIGHT + 4.0
        self.height = self.top + self.placed.height + (0.0 if below else FRAME)

    def entry_offset(self, outside: int) -> float:
        """Where the line of a value from outside enters, from the frame's centre."""
        return self._offset(self.entries[outside])

    def exit_offset(self, box: int) -> float:
        return self._offset(self.exits[box])

    def _offset(self, port: int) -> float:
        return self.left + self.placed.x[port] - self.width / 2

    def centre(self, i: int, left: float, top: float) -> tuple[float, float]:
        """The centre of box number i of the frame, whose corner is at left, top."""
        return left + self.left + self.placed.x[i], top + self.top + self.placed.y[i]

    def lines(self, left: float, top: float) -> list[tuple[Arc, Piece]]:
        dx, dy = left + self.left, top + self.top
        found = []
        for index, piece in self.placed.lines.items():
            moved = tuple((x + dx, y + dy) for x, y in piece.points)
            found.append((self.sheet.arcs[index], Piece(moved, piece.smooth)))
        return found

    def is_entry(self, arc: Arc) -> bool:
        return arc.source in self.sheet.entries
