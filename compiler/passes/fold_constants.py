"""Pass: compute now what does not depend on inputs or state."""

from __future__ import annotations

import numpy as np

from symgraph.graph import Graph, Node, transform
from symgraph.op import Kind
from symgraph.symbol import CONSTANT, constant_node, made_for

SMALL = 4096  # elements; a larger result would make the program bigger, not faster
FOLDED = (Kind.ELEMENTWISE, Kind.REDUCTION, Kind.LAYOUT, Kind.CONTRACTION, Kind.GATHER)


def fold_constants(graph: Graph, *, limit: int = SMALL) -> Graph:
    """op(constants) -> constant, where the result is no larger than `limit` elements."""

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not inputs or node.op.kind not in FOLDED or any(i.op is not CONSTANT for i in inputs):
            return None
        size = node.type.size
        repeats = node.op.name == "broadcast_to"  # a repeated constant is cheaper left unsaid
        if repeats or not isinstance(size, int) or size > limit or node.op.evaluate is None:
            return None
        with np.errstate(all="ignore"):
            value = node.op.evaluate(*(i.attrs["value"] for i in inputs), **node.attrs)
        with made_for(node, "fold_constants"):
            return constant_node(np.asarray(value, node.type.dtype))

    return transform(graph, visit, "fold_constants")
