"""Clusters as items: which boxes stand together, and the layout inside one frame."""

from __future__ import annotations

from symgraph.viz.layout.engine import Piece, prepare
from symgraph.viz.layout.lines import draw_lines
from symgraph.viz.layout.sheet import BACKWARD, FORWARD, Arc, Sheet
from symgraph.viz.picture import Picture
from symgraph.viz.style import DETAIL_SIZE, text_width

FRAME = 10.0  # between a frame and its boxes
TITLE_HEIGHT = 20.0
PORT = 8.0  # width kept for a line that goes through a frame


def items_of(picture: Picture) -> list[list[int]]:
    """Boxes by the item they belong to: a cluster is one item if no path leaves it and comes back.

    Otherwise every cluster is cut into levels (the number of times a path into it has changed
    cluster), between which no cycle is possible.
    """
    whole = _grouped([(box.cluster, 0) if box.cluster is not None else (None, i) for i, box in enumerate(picture.boxes)])
    if _acyclic(picture, whole):
        return whole
    level = [0] * len(picture.boxes)
    incoming: list[list[int]] = [[] for _ in picture.boxes]
    for edge in picture.edges:
        incoming[edge.target].append(edge.source)
    for index, box in enumerate(picture.boxes):
        for source in incoming[index]:
            same = box.cluster is not None and box.cluster == picture.boxes[source].cluster
            level[index] = max(level[index], level[source] + (not same))
    keys = [(b.cluster, level[i]) if b.cluster is not None else (None, i) for i, b in enumerate(picture.boxes)]
    return _grouped(keys)


def _grouped(keys: list[tuple[int | None, int]]) -> list[list[int]]:
    groups: dict[tuple[int | None, int], list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _acyclic(picture: Picture, items: list[list[int]]) -> bool:
    item_of = {box: i for i, boxes in enumerate(items) for box in boxes}
    after: list[set[int]] = [set() for _ in items]
    waiting = [0] * len(items)
    for edge in picture.edges:
        source, target = item_of[edge.source], item_of[edge.target]
        if source != target and target not in after[source]:
            after[source].add(target)
            waiting[target] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    for item in ready:  # grows while it is read
        for target in after[item]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return len(ready) == len(items)


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
        self.width = max(self.placed.width + 2 * FRAME, text_width(title, DETAIL_SIZE) + 2 * FRAME)
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
