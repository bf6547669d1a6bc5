"""A compiled function with one box for each cluster: for graphs too large to draw node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.symbol import INPUT
from symgraph.viz.build import Clusters
from symgraph.viz.caption import cut, source_lines, tooltip
from symgraph.viz.picture import Box, Edge, Picture, Role
from symgraph.viz.roles import lane_table, role_table
from symgraph.words import counted

LISTED = 24  # lines of a tooltip


def folded_picture(graph: Graph, clusters: Clusters, title: str) -> Picture:
    """A box for each input, cluster and output. Parameters are named in the boxes that read them."""
    return _Folded(graph, clusters).picture(title)


class _Folded:
    def __init__(self, graph: Graph, clusters: Clusters):
        self.graph, self.clusters = graph, clusters
        self.readers = graph.users()
        self.roles = role_table(graph, graph.nodes)
        self.lanes = lane_table(graph.nodes, self.roles)
        self.updated: dict[Node, list[str]] = {}
        for state, value in graph.updates:
            self.updated.setdefault(value, []).append(state.name)
        self.computed = {node for _, members in clusters for node in members}
        self.boxes: list[Box] = []
        self.edges: dict[tuple[int, int], Edge] = {}
        # The boxes that a node's value comes from: several for what only joins or moves values.
        self.behind: dict[Node, tuple[int, ...]] = {}

    def picture(self, title: str) -> Picture:
        for node in self.graph.nodes:
            if node.op is INPUT:
                box = Box(role=Role.INPUT, lines=source_lines(node, Role.INPUT), tooltip=tooltip(node))
                self.behind[node] = (self._add(box, []),)
        loose = [node for _, members in self.clusters if self._is_loose(members) for node in members]
        for name, members in self.clusters:
            if not self._is_loose(members):
                self._draw_cluster(name, members)
        if loose:
            self._draw_cluster("counters", loose)
        several = len(self.graph.outputs) > 1
        for number, value in enumerate(self.graph.outputs):
            lines = (f"output {number}" if several else "output",)
            self._add(Box(role=Role.OUTPUT, lines=lines, lane=self.lanes[value]), [value])
        return Picture(title=cut(title, 80), boxes=tuple(self.boxes), edges=tuple(self.edges.values()))

    def _is_loose(self, members: Sequence[Node]) -> bool:
        """Whether only states lead to a cluster and nothing away from it, as with counters of steps."""
        inside = set(members)
        read = any(reader not in inside for node in members for reader in self.readers[node])
        fed = any(self._from(i) for node in members for i in node.inputs if i not in inside)
        return not read and not fed and not inside.intersection(self.graph.outputs)

    def _draw_cluster(self, name: str, members: Sequence[Node]) -> None:
        inside = set(members)
        operands = dict.fromkeys(i for node in members for i in node.inputs if i not in inside)
        role = _most(self.roles[node] for node in members)
        box = Box(
            role=role,
            lines=self._lines(name, members, operands),
            tooltip="\n".join(cut(tooltip(node).split("\n")[0], 160) for node in members[:LISTED]),
            lane=_most(self.lanes[node] for node in members),
            heavy=any(node.op.kind is Kind.CONTRACTION for node in members),
        )
        index = self._add(box, operands)
        for node in members:  # what a later kernel computes once more is drawn in the first
            self.behind.setdefault(node, (index,))

    def _lines(self, name: str, members: Sequence[Node], operands: Iterable[Node]) -> tuple[str, ...]:
        """What the cluster does, the states that it gives new values, and those that it only reads."""
        new = [state for node in members for state in self.updated.get(node, ())]
        read = [state for state in self._states(operands) if state not in new]
        lines = [cut(name), counted(len(members), "op")]
        lines += [cut(f"updates {', '.join(new)}")] * bool(new)
        lines += [cut(f"reads {', '.join(read)}")] * bool(read)
        return tuple(lines)

    def _states(self, operands: Iterable[Node]) -> list[str]:
        """The states that operands are, or are moved from without a computation."""
        found: dict[str, None] = {}
        stack = list(operands)[::-1]
        while stack:
            node = stack.pop()
            if "state" in node.attrs:
                found[node.name] = None
            elif node not in self.computed:
                stack.extend(reversed(node.inputs))
        return list(found)

    def _add(self, box: Box, operands: Iterable[Node]) -> int:
        index = len(self.boxes)
        self.boxes.append(box)
        for operand in operands:
            for source in self._from(operand):
                label = "" if self.boxes[source].role is Role.INPUT else cut(str(operand.type))
                self.edges.setdefault((source, index), Edge(source, index, label))
        return index

    def _from(self, operand: Node) -> tuple[int, ...]:
        """The boxes behind an operand, past what no kernel computes: views and sources."""
        stack = [operand]
        while stack:
            node = stack[-1]
            missing = [i for i in node.inputs if i not in self.behind]
            if node in self.behind or not missing:
                places = dict.fromkeys(p for i in node.inputs for p in self.behind[i])
                self.behind.setdefault(node, tuple(places))
                stack.pop()
            else:
                stack.extend(missing)
        return self.behind[operand]


def _most(choices: Iterable[Any]) -> Any:
    """What occurs most often; the first of equals."""
    return Counter(choices).most_common(1)[0][0]
