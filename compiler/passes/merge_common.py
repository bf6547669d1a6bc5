"""Pass: compute equal expressions once."""

from __future__ import annotations

from typing import Any

from symgraph.graph import Graph, Node, copy_with, key_of, transform


def merge_common(graph: Graph) -> Graph:
    """f(a, b), f(a, b) -> one node: same op, attributes and operands. The first one's line is kept."""
    known: dict[Any, Node] = {}

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op.name in ("input", "state"):
            return None
        key = (node.op, inputs, key_of(node.attrs))
        if key not in known:
            known[key] = node if inputs == node.inputs else copy_with(node, inputs, "merge_common")
        return known[key]

    return transform(graph, visit, "merge_common")
