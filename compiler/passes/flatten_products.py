"""Pass: where channels last meets a matrix product over all axes, its weights change places, not the data."""

from __future__ import annotations

from compiler.passes.materialize_results import copy
from compiler.passes.transpose_products import swaps_last_two
from symgraph.dimension import Extent
from symgraph.graph import Graph, Node, transform
from symgraph.ops.layout import PERMUTE, RESHAPE, matrix_transpose, permute_dims, reshape
from symgraph.ops.linear import MATMUL, matmul
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

MAKER = "flatten_products"
# Rows or columns up to which a weight is put into another order rather than a batch of data.
WIDEST = 256
Axes = tuple[int, ...]


def flatten_products(graph: Graph) -> Graph:
    """With flat(x) = reshape(permute(x)), and P the same permutation of a matrix's rows or columns:

    flat(x) @ w = reshape(x) @ P(w);  a @ flat(x) = P'(a @ reshape(x));
    permute(reshape(a @ w)) = reshape(a @ P(w)), where the product has no other reader.

    P(w) is a copy: a product would meet each element of it out of order. Of large weights flat(x) is one.
    """
    users = graph.users()
    results = set(graph.results)

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        with made_for(node, MAKER):
            if node.op is MATMUL and node.type.rank == 2:
                made = _product(*inputs)
            elif node.op is PERMUTE and all(len(users[n]) == 1 and n not in results for n in _behind(node)):
                made = _taken_apart(node, inputs[0])
            else:
                return None
        return made.node if isinstance(made, Symbol) else None

    return transform(graph, visit, MAKER)


def _behind(node: Node) -> list[Node]:
    (reshaped,) = node.inputs
    return [reshaped, *reshaped.inputs]


def _product(left: Node, right: Node) -> Value | None:
    flat = _flat(left)
    if flat is not None and not _is_narrow(right.type.shape[1]):
        return matmul(reshape(copy(Symbol(flat)), left.type.shape), Symbol(right))
    if flat is not None:
        axes = flat.attrs["axes"]
        back = tuple(axes.index(i) for i in range(len(axes)))
        rows = _regrouped(Symbol(right), 0, flat.type.shape[1:], _rest(back))
        return matmul(reshape(Symbol(flat.inputs[0]), left.type.shape), rows)
    flat = _flat(right)
    if flat is not None and not _is_narrow(left.type.shape[0]):
        return matmul(Symbol(left), reshape(copy(Symbol(flat)), right.type.shape))
    if flat is not None:
        made = matmul(Symbol(left), reshape(Symbol(flat.inputs[0]), right.type.shape))
        return _regrouped(made, 1, flat.inputs[0].type.shape[1:], _rest(flat.attrs["axes"]))
    return None


def _taken_apart(node: Node, reshaped: Node) -> Value | None:
    axes, product = node.attrs["axes"], reshaped.inputs[0] if reshaped.op is RESHAPE else reshaped
    if reshaped.op is not RESHAPE or product.op is not MATMUL or product.type.rank != 2 or axes[0] != 0:
        return None
    left, right = product.inputs
    if reshaped.type.shape[0] != product.type.shape[0] or not _is_narrow(right.type.shape[0]):
        return None
    columns = _regrouped(Symbol(right), 1, reshaped.type.shape[1:], _rest(axes))
    return reshape(matmul(Symbol(left), columns), node.type.shape)


def _flat(node: Node) -> Node | None:
    """The permute behind a matrix that is [N, a, b, ...] with all but the first axis merged."""
    if node.op is not RESHAPE or node.inputs[0].op is not PERMUTE or node.type.rank != 2:
        return None
    (permute,) = node.inputs
    fits = permute.attrs["axes"][0] == 0 and permute.type.shape[0] == node.type.shape[0]
    return permute if fits else None


def _rest(axes: Axes) -> Axes:
    """An order of all axes that keeps the first, as one of the others."""
    return tuple(a - 1 for a in axes[1:])


def _is_narrow(extent: Extent) -> bool:
    return isinstance(extent, int) and extent <= WIDEST


def _regrouped(w: Value, axis: int, parts: tuple[Extent, ...], order: Axes) -> Value:
    """A copy of the matrix with one axis, made of `parts`, in another order of them.

    Of a transposed matrix the transpose is copied: forward and backward share it.
    """
    if isinstance(w, Symbol) and swaps_last_two(w.node):
        return matrix_transpose(_regrouped(Symbol(w.node.inputs[0]), 1 - axis, parts, order))
    lead, tail = w.shape[:axis], w.shape[axis + 1 :]
    shift = len(lead)
    moved = (*range(shift), *(a + shift for a in order), *range(shift + len(parts), w.ndim - 1 + len(parts)))
    return reshape(copy(permute_dims(reshape(w, (*lead, *parts, *tail)), moved)), w.shape)
