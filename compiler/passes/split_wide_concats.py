"""Pass: a concat of many parts becomes a tree: no kernel asks at each element which of many it is in."""

from __future__ import annotations

from compiler.passes.materialize_results import copy
from symgraph.graph import Graph, Node, transform
from symgraph.ops.layout import CONCAT, concat
from symgraph.symbol import Symbol, made_for

WIDEST = 8


def split_wide_concats(graph: Graph) -> Graph:
    """concat(a, b, ... 8 at a time) -> concat(copy(concat(a, ...)), copy(concat(b, ...)), ...)."""

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not CONCAT or len(inputs) <= WIDEST:
            return None
        axis = node.attrs["axis"]
        parts: list[Symbol] = [Symbol(i) for i in inputs]
        with made_for(node, "split_wide_concats"):
            while len(parts) > WIDEST:
                parts = [_stored(parts[i : i + WIDEST], axis) for i in range(0, len(parts), WIDEST)]
            made = concat(parts, axis)
        assert isinstance(made, Symbol)
        return made.node

    return transform(graph, visit, "split_wide_concats")


def _stored(parts: list[Symbol], axis: int) -> Symbol:
    """The parts joined, in memory of their own."""
    made = copy(concat(parts, axis)) if len(parts) > 1 else parts[0]
    assert isinstance(made, Symbol)
    return made
