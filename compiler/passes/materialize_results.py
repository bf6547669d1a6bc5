"""Pass: give every result a node of its own that a kernel can store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.views import rows_of
from symgraph.graph import Graph, Node
from symgraph.loops import Loop, transform_loops
from symgraph.op import Kind
from symgraph.ops.elementwise import elementwise
from symgraph.ops.function import ANY
from symgraph.ops.reduce import EXTENT
from symgraph.symbol import Symbol, made_for

MAKER = "materialize_results"


@elementwise(ANY)
def copy(k: Any, x: Any) -> Any:
    """x, stored in memory of its own."""
    return x


@copy.vjp
def copy_vjp(x: Any, out: Any, g: Any) -> Any:
    return g


def materialize_results(graph: Graph) -> Graph:
    """Results that are sources, views of something, or listed twice become copies.

    So do, before a loop, the first values of its carries, whose memory the loop writes, and sequences whose
    rows do not lie one after another.
    """
    graph = transform_loops(graph, _given_memory, MAKER)
    seen: set[Node] = set()
    results = []
    for node in graph.results:
        if node in seen or node.op.kind in (Kind.SOURCE, Kind.LAYOUT):
            node = _copied(node)
        seen.add(node)
        results.append(node)
    return graph.with_results(results)


def _given_memory(loop: Loop) -> Mapping[Node, Node]:
    sequences = loop.operands[loop.carries : loop.first_captured]
    operands = (
        *(_copied(o) for o in loop.operands[: loop.carries]),
        *(o if rows_of(o) is not None else _copied(o) for o in sequences),
        *(_copied(o) if _is_nowhere(o) else o for o in loop.operands[loop.first_captured :]),
    )
    moved = {n: n for n in loop.stacks}
    return replace(loop, operands=operands).results_like(loop, moved, MAKER)


def _is_nowhere(node: Node) -> bool:
    """Whether a value is read without being in memory."""
    return node.op.kind is Kind.LAYOUT or node.op is EXTENT


def _copied(node: Node) -> Node:
    with made_for(node, MAKER):
        made = copy(Symbol(node))
    assert isinstance(made, Symbol)
    return made.node
