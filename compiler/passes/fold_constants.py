"""Pass: compute now what does not depend on inputs or state."""

from __future__ import annotations

import numpy as np

from symgraph.graph import Graph, Node, transform
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST
from symgraph.symbol import CONSTANT, constant_node, made_for

SMALL = 4096  # elements; a larger result would make the program bigger, not faster
FOLDED = (
    Kind.ELEMENTWISE, Kind.REDUCTION, Kind.LAYOUT, Kind.CONTRACTION, Kind.GATHER, Kind.WINDOW,
)  # fmt: skip


def fold_constants(graph: Graph, *, limit: int = SMALL) -> Graph:
    """op(constants) -> constant, where the result is no larger than `limit` elements."""

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not inputs or node.op.kind not in FOLDED:
            return None
        values = [_value(i) for i in inputs]
        if any(v is None for v in values):
            return None
        size = node.type.size
        repeats = node.op.name == "broadcast_to"  # a repeated constant is cheaper left unsaid
        if repeats or not isinstance(size, int) or size > limit or node.op.evaluate is None:
            return None
        with np.errstate(all="ignore"):
            value = node.op.evaluate(*values, **node.attrs)
        with made_for(node, "fold_constants"):
            return constant_node(np.asarray(value, node.type.dtype))

    return transform(graph, visit, "fold_constants")


def _value(node: Node) -> np.ndarray | None:
    """The array that a constant, or a repeated constant of static shape, stands for."""
    if node.op is CONSTANT:
        return node.attrs["value"]
    shape = [e for e in node.type.shape if isinstance(e, int)]
    if node.op is BROADCAST and node.inputs[0].op is CONSTANT and len(shape) == node.type.rank:
        return np.broadcast_to(node.inputs[0].attrs["value"], shape)
    return None
