"""Pass: a transposed matrix product is the product of the transposed factors, which are read for free."""

from __future__ import annotations

from symgraph.graph import Graph, Node, transform
from symgraph.ops.layout import PERMUTE, matrix_transpose
from symgraph.ops.linear import MATMUL, matmul
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value


def transpose_products(graph: Graph) -> Graph:
    """(x @ y)^T = y^T @ x^T, where the product has no other user.

    So the gradient of a weight is made in the weight's own order, and its update rides in the epilogue.
    """
    users = graph.users()
    results = set(graph.results)

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not swaps_last_two(node) or inputs[0].op is not MATMUL:
            return None
        if len(users[node.inputs[0]]) > 1 or node.inputs[0] in results:
            return None
        x, y = inputs[0].inputs
        with made_for(node, "transpose_products"):
            made = matmul(_transposed(y), _transposed(x))
        assert isinstance(made, Symbol)
        return made.node

    return transform(graph, visit, "transpose_products")


def _transposed(node: Node) -> Value:
    return Symbol(node.inputs[0]) if swaps_last_two(node) else matrix_transpose(Symbol(node))


def swaps_last_two(node: Node) -> bool:
    if node.op is not PERMUTE:
        return False
    axes = node.attrs["axes"]
    rank = len(axes)
    return rank >= 2 and axes == (*range(rank - 2), rank - 1, rank - 2)
