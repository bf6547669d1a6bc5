"""Frames around nodes: given by the caller, or one for each line of the user's program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from symgraph.errors import GraphError
from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.viz.build import Clusters
from symgraph.viz.roles import role_table


def checked(clusters: Iterable[Any] | str) -> Clusters:
    """(title, nodes) pairs as tuples; raises GraphError for anything else."""
    if isinstance(clusters, str):
        raise GraphError(f'draw: clusters is (title, nodes) pairs or "lines", not {clusters!r}')
    found = []
    for entry in clusters:
        title, nodes = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, ())
        members = tuple(nodes)
        if not isinstance(title, str) or not all(isinstance(node, Node) for node in members):
            raise GraphError(f"draw: a cluster is (title, nodes), not {str(entry)[:80]}")
        found.append((title, members))
    return found


def by_line(graph: Graph) -> Clusters:
    """A cluster for each line of the user's program and role, where joined nodes stem from it.

    What a loop makes of one line in several rounds stays apart, unless one round reads the other's nodes.
    """
    nodes = graph.nodes
    roles = role_table(graph, nodes)
    group: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.op.kind is Kind.SOURCE:
            continue
        own = group[node] = [node]
        for operand in node.inputs:
            other = group.get(operand)
            same = operand.location == node.location and roles[operand] is roles[node]
            if other is not None and same and other is not own:
                own = _merged(group, own, other)
    distinct = {id(members): members for members in group.values() if len(members) > 1}
    return [(members[0].location.quote(), members) for members in distinct.values()]


def _merged(group: dict[Node, list[Node]], a: list[Node], b: list[Node]) -> list[Node]:
    """Both groups as one; the smaller is moved, so that all merges together stay near linear."""
    small, large = sorted((a, b), key=len)
    large.extend(small)
    group.update((node, large) for node in small)
    return large
