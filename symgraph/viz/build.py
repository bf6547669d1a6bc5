"""From a graph to a picture: what gets a box, what is written into other boxes, what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from symgraph.dimension import Shape
from symgraph.graph import Graph, Node, Update
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST, PERMUTE, RESHAPE
from symgraph.ops.linear import MATMUL
from symgraph.ops.phase import CARRY, READ
from symgraph.viz.caption import cut, inline_text, is_inline, op_lines, source_lines, tooltip, update_lines
from symgraph.viz.picture import Box, Edge, Lane, Picture, Role
from symgraph.viz.roles import lane_table, role_table
from symgraph.viz.updates import UpdateGroup, group_updates

Clusters = Sequence[tuple[str, Sequence[Node]]]
SOURCES = (Role.INPUT, Role.PARAMETER, Role.STATE, Role.CONSTANT)


def picture_of(
    graph: Graph,
    *,
    title: str = "",
    detail: bool = False,
    clusters: Clusters = (),
    smallest: int = 1,
    names: Mapping[Node, str] | None = None,
) -> Picture:
    """The picture of a graph. Takes time linear in the graph.

    Without `detail`, copies that only change the shape (broadcasts, axes of size 1) are left out, scalar
    constants are written into their users, and each parameter's update is one box. Clusters of
    fewer than `smallest` boxes get no frame. `names` are those of variables that hold nodes.
    """
    return _Builder(graph, detail, clusters, names or {}).build(title, smallest)


class _Builder:
    def __init__(self, graph: Graph, detail: bool, clusters: Clusters, names: Mapping[Node, str]):
        self.graph, self.detail, self.names = graph, detail, names
        self.nodes = graph.nodes
        carried = [] if detail else [(n.attrs["state"], n.inputs[1]) for n in self.nodes if n.op is CARRY]
        self.updates: list[Update] = [*graph.updates, *((s.leaf_node(), value) for s, value in carried)]
        self.roles = role_table(graph, self.nodes)
        self.lanes = lane_table(self.nodes, self.roles)
        self.cluster_of: dict[Node, int] = {}
        for number, (_, members) in enumerate(clusters):
            for node in members:  # what a later kernel computes once more is drawn in the first
                self.cluster_of.setdefault(node, number)
        self.cluster_titles = tuple(cut(name, 60) for name, _ in clusters)
        self.turned = set() if detail else transposes(graph, self.nodes, self.names)
        self.shown: dict[Node, Node] = {}
        for node in self.nodes:
            self.shown[node] = self.shown[node.inputs[0]] if self._is_passed(node) else node
        self.boxes: list[Box] = []
        self.edges: dict[tuple[int, int], Edge] = {}
        self.place: dict[Node, int] = {}

    def _is_passed(self, node: Node) -> bool:
        """Whether the drawing shows a node's first operand in its place."""
        if self.detail or node in self.names:
            return False
        if node.op is RESHAPE:
            return _without_ones(node.type.shape) == _without_ones(node.inputs[0].type.shape)
        return node.op in (BROADCAST, READ, CARRY) or node in self.turned

    def build(self, title: str, smallest: int) -> Picture:
        groups = [] if self.detail else group_updates(self.nodes, self.roles, self.updates)
        grouped = {node for group in groups for node in group.members}
        for node in self.nodes:
            if self.shown[node] is node and node not in grouped and not self._inline(node):
                self._draw_node(node)
        self._draw_groups(groups)
        for state, value in self.updates if self.detail else ():
            self._draw_end(Role.UPDATE, (cut(f"{state.name} ←"), "new value"), value)
        for value in self.graph.checks if self.detail else ():
            self._draw_end(Role.UPDATE, ("check", "0 where inputs are right"), value)
        several = len(self.graph.outputs) > 1
        for i, value in enumerate(self.graph.outputs):
            self._draw_end(Role.OUTPUT, (f"output {i}" if several else "output",), value)
        return self._without_loose_ends(title, smallest)

    def _inline(self, node: Node) -> bool:
        return not self.detail and is_inline(self.shown[node])

    def _operand_text(self, operand: Node) -> str | None:
        """What the title of a user says of an operand, if anything."""
        if self._inline(operand):
            return inline_text(self.shown[operand])
        turns = 0
        while operand in self.turned:
            turns, operand = turns + 1, operand.inputs[0]
        return "·ᵀ" if turns % 2 else None

    def _add(self, box: Box, operands: Sequence[Node]) -> int:
        index = len(self.boxes)
        self.boxes.append(box)
        for operand in operands:
            source = self.place.get(self.shown[operand])
            if source is not None and source != index:
                drawn = self.boxes[source]
                label = "" if drawn.role in SOURCES else str(self.shown[operand].type)
                self.edges.setdefault((source, index), Edge(source, index, cut(label, 48)))
        return index

    def _draw_node(self, node: Node) -> None:
        role = self.roles[node]
        if role in SOURCES:
            lines = source_lines(node, role)
        else:
            texts = [self._operand_text(i) for i in node.inputs]
            lines = op_lines(node, texts, self.names.get(node))
        box = Box(
            role=role,
            lines=lines,
            tooltip=tooltip(node),
            cluster=self.cluster_of.get(node),
            lane=self.lanes[node],
            quiet=node.op.kind is Kind.LAYOUT or role is Role.CONSTANT or node.op.name == "cast",
            heavy=node.op.kind in (Kind.CONTRACTION, Kind.WINDOW, Kind.SCAN),
        )
        self.place[node] = self._add(box, node.inputs)

    def _draw_groups(self, groups: Sequence[UpdateGroup]) -> None:
        """A box each, but one for all that nothing leads to (counters). Those without states only check
        inputs; the op that asks for the check is drawn and says so."""
        loose = UpdateGroup()
        for group in groups:
            operands = self._operands_of(group)
            if group.states and (operands or group.shared):
                self._draw_group(group, operands)
            elif group.states:
                loose.states += group.states
                loose.members += group.members
        if loose.states:
            self._draw_group(loose, [])

    def _operands_of(self, group: UpdateGroup) -> list[Node]:
        inside, own = set(group.members), set(group.states)
        # Lines from what all updates share (a step counter) would cross the whole picture and say little.
        read = (i for n in group.members for i in n.inputs if self.roles[i] is not Role.UPDATE)
        operands = [i for i in read if self.shown[i] not in own]
        operands += [value for value in group.values if value not in inside]
        return [i for i in operands if self.shown[i] in self.place]

    def _draw_group(self, group: UpdateGroup, operands: Sequence[Node]) -> None:
        clusters = {self.cluster_of[node] for node in group.members if node in self.cluster_of}
        after = any(self.lanes[node] is not Lane.FORWARD for node in (*group.members, *group.values))
        box = Box(
            role=Role.UPDATE,
            lines=update_lines(group.states, len(group.members), group.shared),
            tooltip="\n".join(cut(tooltip(n).split("\n")[0], 160) for n in group.members[:24]),
            cluster=clusters.pop() if len(clusters) == 1 else None,
            lane=Lane.UPDATE if after else Lane.FORWARD,
        )
        index = self._add(box, operands)
        self.place.update((node, index) for node in group.members)

    def _draw_end(self, role: Role, lines: tuple[str, ...], value: Node) -> None:
        if self._inline(value):
            lines = (*lines, inline_text(self.shown[value]))
        lane = self.lanes[value]
        if role is Role.UPDATE and lane is Lane.BACKWARD:
            lane = Lane.UPDATE
        self._add(Box(role=role, lines=lines, tooltip=tooltip(value), lane=lane), [value])

    def _without_loose_ends(self, title: str, smallest: int) -> Picture:
        """States and constants that no drawn box reads are named by their updates; leave them out."""
        used = {index for edge in self.edges for index in edge}
        quiet = (Role.PARAMETER, Role.STATE, Role.CONSTANT)
        keep = [i for i, box in enumerate(self.boxes) if i in used or box.role not in quiet]
        place = {old: new for new, old in enumerate(keep)}
        edges = (Edge(place[e.source], place[e.target], e.label) for e in self.edges.values())
        members = Counter(self.boxes[i].cluster for i in keep)
        boxes = (self.boxes[i] for i in keep)
        return Picture(
            title=cut(title, 80),
            boxes=tuple(b if members[b.cluster] >= smallest else replace(b, cluster=None) for b in boxes),
            edges=tuple(edges),
            clusters=self.cluster_titles,
        )


def transposes(graph: Graph, nodes: Sequence[Node], names: Mapping[Node, str]) -> set[Node]:
    """Exchanges of the last two axes that in the end only matrix products read; drawn as a superscript T."""
    found: set[Node] = set()
    kept = set(graph.results)  # and all that something else reads
    for node in reversed(nodes):
        if node.op is PERMUTE and node not in kept and node not in names and _turns(node):
            found.add(node)
        elif node.op is not MATMUL:
            kept.update(node.inputs)
    return found


def _turns(node: Node) -> bool:
    rank = node.type.rank
    return node.attrs["axes"] == (*range(rank - 2), rank - 1, rank - 2)


def _without_ones(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)
