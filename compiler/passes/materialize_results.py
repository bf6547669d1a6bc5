"""Pass: give every result a node of its own that a kernel can store."""

from __future__ import annotations

from typing import Any

from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.ops.elementwise import elementwise
from symgraph.ops.function import ANY
from symgraph.symbol import Symbol, made_for


@elementwise(ANY)
def copy(k: Any, x: Any) -> Any:
    """x, stored in memory of its own."""
    return x


@copy.vjp
def copy_vjp(x: Any, out: Any, g: Any) -> Any:
    return g


def materialize_results(graph: Graph) -> Graph:
    """Results that are sources, views of something, or listed twice become copies."""
    seen: set[Node] = set()
    results = []
    for node in graph.results:
        if node in seen or node.op.kind in (Kind.SOURCE, Kind.LAYOUT):
            with made_for(node, "materialize_results"):
                made = copy(Symbol(node))
            assert isinstance(made, Symbol)
            node = made.node
        seen.add(node)
        results.append(node)
    return graph.with_results(results)
