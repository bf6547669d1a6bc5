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
    """A cluster for each line of the user's program and role, where it holds more than one node."""
    nodes = graph.nodes
    roles = role_table(graph, nodes)
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        if node.op.kind is not Kind.SOURCE:
            groups.setdefault((node.location, roles[node]), []).append(node)
    return [(location.quote(), members) for (location, _), members in groups.items() if len(members) > 1]
