"""Clusters: which nodes of a graph become one kernel, and how they share its loops."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from compiler.views import Reading, follow, is_view
from symgraph.dimension import Shape
from symgraph.graph import Graph, Node
from symgraph.op import Kind


class Form(Enum):
    LOOP = "loop"  # elementwise work and reductions over one domain
    CONTRACTION = "contraction"  # a matrix product and elementwise work on its result
    SCATTER = "scatter"  # a scatter_add and elementwise work on its operand
    SCAN = "scan"  # all results of one loop, whose body has clusters of its own


@dataclass(slots=True)
class Cluster:
    """Nodes in topological order that run in one nest of loops over `domain`.

    labels[n] are the domain's axes that n's own axes run along. `reduced` are the axes whose
    reductions are used inside again (a row's or a column's statistics), None if there are none.
    `refused` are clusters that did not take the first node, and whether a circle was the reason.
    """

    form: Form
    domain: Shape
    nodes: list[Node] = field(default_factory=list)
    labels: dict[Node, tuple[int | None, ...]] = field(default_factory=dict)
    reduced: tuple[int, ...] | None = None
    stored: list[Node] = field(default_factory=list)
    refused: list[tuple[Cluster, bool]] = field(default_factory=list)
    # Nodes of other clusters, producers first, computed again wherever a window reads them.
    inlined: list[Node] = field(default_factory=list)

    @property
    def computed(self) -> list[Node]:
        return [*self.inlined, *self.nodes]

    @property
    def everywhere(self) -> tuple[int, ...]:
        return tuple(range(len(self.domain)))

    @property
    def reductions(self) -> list[Node]:
        return [n for n in self.nodes if n.op.kind is Kind.REDUCTION]

    @property
    def root(self) -> Node:
        """The contraction or scatter it is built around."""
        kinds = (Kind.CONTRACTION, Kind.SCATTER)
        return next(n for n in self.nodes if n.op.kind in kinds)

    @property
    def swept(self) -> tuple[int, ...]:
        """The axes whose reductions give statistics; if none is used inside, those along the last axis."""
        if self.reduced is not None:
            return self.reduced
        last = len(self.domain) - 1
        sets = dict.fromkeys(r.attrs["axes"] for r in self.reductions)
        return next((s for s in sets if last in s), next(iter(sets), ()))

    def covers(self, node: Node) -> bool:
        """Whether the node has a value at every element of the domain (a reduction has not)."""
        along = self.labels[node]
        return node.op.kind is not Kind.REDUCTION and all(
            extent == 1 or axis in along for axis, extent in enumerate(self.domain)
        )

    def title(self) -> str:
        """What it does, for reports and pictures: the user's words where composites were expanded."""
        words: dict[str, None] = {}
        for node in self.nodes:
            words.setdefault(word_of(node), None)
        return "+".join(words)


def word_of(node: Node) -> str:
    """The name of the composite a node was expanded from, else its op's."""
    origin = node.origin
    while origin is not None:
        if origin.maker == "expand_composites" and origin.node.op.kind is Kind.COMPOSITE:
            return origin.node.op.name
        origin = origin.node.origin
    return node.op.name


def operands_of(node: Node) -> list[Reading]:
    return [follow(i) for i in node.inputs]


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph cut into clusters, in an order that respects data and the overwriting of state."""

    graph: Graph
    clusters: tuple[Cluster, ...]
    # Updates that cannot be stored into their state at once: the value is kept aside and copied last.
    deferred: frozenset[Node] = frozenset()


def leaves_behind(operand: Node) -> list[Node]:
    """Every node behind an operand's views, pads and concats: what must be in memory or in the cluster."""
    if not is_view(operand):
        return [operand]
    found: list[Node] = []
    stack = [operand]
    while stack:
        node = stack.pop()
        if is_view(node) and node.inputs:
            stack.extend(reversed(node.inputs))
        else:
            found.append(node)
    return found
