"""The order clusters run in: after what they read, and before state they read is overwritten."""

from __future__ import annotations

import heapq

from compiler.clusters import Cluster, Plan, leaves_behind, operands_of
from compiler.passes.precedence import Precedence
from symgraph.errors import CompileError
from symgraph.graph import Graph, Node
from symgraph.op import Kind

# For each cluster the numbers of those that run before it, in a fixed order.
Before = list[dict[int, None]]


def order_clusters(graph: Graph, clusters: list[Cluster]) -> Plan:
    """Decide what each cluster stores, and sort.

    An update that cannot go into its state at once is deferred.
    """
    maker = mark_stored(graph, clusters)
    while not all(c.stored for c in clusters):
        clusters = [c for c in clusters if c.stored]
        maker = mark_stored(graph, clusters)
    before = _data_dependencies(clusters, maker)
    _check_before_updates(graph, maker, before)
    deferred = _overwriting(graph, clusters, maker, before)
    return Plan(graph, tuple(clusters[n] for n in _topological(before)), frozenset(deferred))


def mark_stored(graph: Graph, clusters: list[Cluster]) -> dict[Node, int]:
    """Fill `stored`: nodes that another cluster or a result needs. Returns who makes each of them."""
    maker: dict[Node, int] = {}
    for number, cluster in enumerate(clusters):
        for node in cluster.nodes:
            maker.setdefault(node, number)
    needed = set(graph.results)
    for cluster in clusters:
        inside = set(cluster.computed)
        for node in cluster.computed:
            for operand in node.inputs:
                needed.update(leaf for leaf in leaves_behind(operand) if leaf not in inside)
    for number, cluster in enumerate(clusters):
        cluster.stored = [n for n in cluster.nodes if n in needed and maker[n] == number]
    return maker


def leaves_read(cluster: Cluster) -> list[Node]:
    """What a cluster reads from memory, each once, in order of first use."""
    inside = set(cluster.computed)
    leaves = (leaf for node in cluster.computed for i in node.inputs for leaf in leaves_behind(i))
    return [leaf for leaf in dict.fromkeys(leaves) if leaf not in inside]


def _data_dependencies(clusters: list[Cluster], maker: dict[Node, int]) -> Before:
    """For each cluster those that it reads from."""
    return [
        dict.fromkeys(maker[leaf] for leaf in leaves_read(cluster) if leaf in maker) for cluster in clusters
    ]


def _check_before_updates(graph: Graph, maker: dict[Node, int], before: Before) -> None:
    """States are written after every check has passed, so that bad inputs change nothing."""
    writers = dict.fromkeys(maker[value] for _, value in graph.updates)
    for check in graph.checks:
        for writer in writers:
            if writer != maker[check]:
                before[writer][maker[check]] = None


def _overwriting(
    graph: Graph, clusters: list[Cluster], maker: dict[Node, int], before: Before
) -> list[Node]:
    """Order readers of a state before its writer; return the values that must be kept aside instead."""
    precedence = Precedence(_topological(before))
    for number, others in enumerate(before):
        for other in others:
            precedence.link(other, number)
    readers: dict[Node, list[int]] = {}
    for number, cluster in enumerate(clusters):
        for leaf in leaves_read(cluster):
            if leaf.op.kind is Kind.SOURCE and "state" in leaf.attrs:
                readers.setdefault(leaf, []).append(number)
    deferred = []
    for state, value in graph.updates:
        writer = maker[value]
        others = [r for r in readers.get(state, ()) if r != writer]
        cyclic = any(precedence.depends(r, writer) for r in others)
        if cyclic or not reads_in_place(clusters[writer], state, value):
            deferred.append(value)
            continue
        for reader in others:
            before[writer][reader] = None
            precedence.link(reader, writer)
    return deferred


def reads_in_place(cluster: Cluster, state: Node, value: Node) -> bool:
    """Whether storing `value` over `state` inside the cluster never hits an element still to be read."""
    if any(state in leaves_behind(i) for n in cluster.inlined for i in n.inputs):
        return False
    whole = value.type.shape == cluster.domain
    if whole and cluster.reduced is not None:
        return not any(state in leaves_behind(i) for n in cluster.nodes for i in n.inputs)
    if value.op.kind in (Kind.REDUCTION, Kind.CONTRACTION, Kind.SCATTER, Kind.SCAN):
        return not any(state in leaves_behind(i) for n in cluster.nodes for i in n.inputs)
    labels = cluster.labels[value]
    for node in cluster.nodes:
        for operand, reading in zip(node.inputs, operands_of(node), strict=True):
            if state not in leaves_behind(operand):
                continue
            plain = reading.source is state and reading.axes == tuple(range(state.type.rank))
            if not plain or cluster.labels[node] != labels or node.op.kind is not Kind.ELEMENTWISE:
                return False
    return True


def _topological(before: Before) -> list[int]:
    """Kahn's algorithm; among those that are ready the earliest in program order runs first."""
    users: list[list[int]] = [[] for _ in before]
    for number, others in enumerate(before):
        for other in others:
            users[other].append(number)
    waiting = [len(others) for others in before]
    ready = [n for n, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for user in users[number]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) != len(before):
        raise CompileError("fusion made clusters that wait for each other")
    return order
