"""Pass: products of a stack of matrices become one product of larger matrices."""

from __future__ import annotations

from compiler.views import follow, rows_of
from symgraph.dimension import Shape, product
from symgraph.graph import Graph, Node, transform
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST, PERMUTE, RESHAPE, broadcast_to, matrix_transpose, reshape
from symgraph.ops.linear import MATMUL, matmul
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

MAKER = "merge_products"


def merge_products(graph: Graph) -> Graph:
    """Where the stacked operands lie in memory row after row,

        A_i W for all i             = [A_1; A_2; ...] W
        sum over i of A_i^T B_i     = [A_1; A_2; ...]^T [B_1; B_2; ...]
        sum over a of sum over b    = sum over a and b
        f(reshape(A W), b)          = reshape(f(A W, b)), so that f is done while A W is in registers
    """
    users = graph.users()

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        with made_for(node, MAKER):
            if node.op is MATMUL:
                return _of_one_right(*inputs)
            if node.op is sum_.op and len(users[node.inputs[0]]) == 1:
                return _sum(inputs[0], node.attrs["axes"])
            if node.op.kind is Kind.ELEMENTWISE:
                return _before_reshape(node, inputs)
        return None

    return transform(graph, visit, MAKER)


def _of_one_right(left: Node, right: Node) -> Node | None:
    """A_i W with one W for all i."""
    lead = left.type.rank - 2
    if lead == 0 or right.op is not BROADCAST or not _in_rows(left):
        return None
    (one,) = right.inputs
    if product(one.type.shape[:-2]) != 1 or one.type.shape[-2:] != right.type.shape[-2:]:
        return None
    rows = _reshaped(left, (product(left.type.shape[:-1]), left.type.shape[-1]))
    made = matmul(rows, reshape(Symbol(one), right.type.shape[-2:]))
    return _node(reshape(made, (*left.type.shape[:-1], right.type.shape[-1])))


def _before_reshape(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """Elementwise work on a merged product and on what lies like it, or repeats along the merged axes."""
    products = [i.inputs[0] for i in inputs if i.op is RESHAPE and _is_merged(i.inputs[0], i)]
    if len(products) != 1:
        return None
    shape = products[0].type.shape
    operands = []
    for operand in inputs:
        reading = follow(operand)
        if reading.axes is not None and set(reading.axes) <= {None, operand.type.rank - 1}:
            row = reshape(Symbol(reading.source), (reading.source.type.size,))
            operands.append(broadcast_to(row, shape))
        elif _in_rows(operand):
            operands.append(_reshaped(operand, shape))
        else:
            return None
    made = Symbol.apply(node.op, tuple(operands), dict(node.attrs))
    return _node(reshape(made, node.type.shape))


def _is_merged(product: Node, view: Node) -> bool:
    """Whether a value is a product's result, or elementwise work on one, with merged rows."""
    rows, columns = product.type.rank == 2, product.type.shape[-1:]
    while product.op.kind is Kind.ELEMENTWISE:
        product = product.inputs[0]
    return product.op is MATMUL and rows and columns == view.type.shape[-1:] and view.type.rank > 2


def _sum(x: Node, axes: tuple[int, ...]) -> Node | None:
    if x.op is sum_.op:
        inner = x.attrs["axes"]
        left = [a for a in range(x.inputs[0].type.rank) if a not in inner]
        return _node(sum_(Symbol(x.inputs[0]), (*inner, *(left[a] for a in axes))))
    if x.op is MATMUL and axes == tuple(range(x.type.rank - 2)):
        return _sum_of_products(*x.inputs)
    return None


def _sum_of_products(left: Node, right: Node) -> Node | None:
    """The sum over all leading axes."""
    turned = _node(matrix_transpose(Symbol(left)))
    if left.op is PERMUTE and turned.inputs[0] is left:
        turned = _turned_back(left) or turned
    if not (_in_rows(turned) and _in_rows(right)):
        return None
    a, b = (_reshaped(v, (product(v.type.shape[:-1]), v.type.shape[-1])) for v in (turned, right))
    return _node(matmul(matrix_transpose(a), b))


def _turned_back(view: Node) -> Node | None:
    """The operand of a view that exchanges the last two axes."""
    rank = view.type.rank
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    return view.inputs[0] if view.attrs["axes"] == swapped else None


def _reshaped(node: Node, shape: Shape) -> Value:
    """The value under another shape, of what it is a reshape of."""
    while node.op is RESHAPE:
        (node,) = node.inputs
    return reshape(Symbol(node), shape)


def _in_rows(node: Node) -> bool:
    """Whether merging the leading axes is the same memory under another shape."""
    while node.op is RESHAPE:
        (node,) = node.inputs
    reading = follow(node)
    if reading.axes is None:
        return rows_of(node) is not None
    return tuple(a for a in reading.axes if a is not None) == tuple(
        a for a, e in enumerate(node.type.shape) if e != 1
    )


def _node(value: object) -> Node:
    assert isinstance(value, Symbol)
    return value.node
