"""Pass: what scales and shifts a contraction's channels goes into its weights and bias (folded batch norm).

For frozen weights only. Elsewhere weights may change between two calls, and a scale in the epilogue of
the product costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compiler.passes.patterns import number_of, spread_over
from symgraph.graph import Graph, Node, copy_with, topological
from symgraph.op import Kind
from symgraph.ops import arithmetic
from symgraph.ops.layout import broadcast_to, reshape
from symgraph.symbol import CONSTANT, STATE, Symbol, made_for


@dataclass(frozen=True, slots=True)
class Affine:
    """product * scale + shift, with a number of each for every place along the last axis (None: 1 and 0)."""

    product: Node
    scale: Any = None
    shift: Any = None


def fold_into_weights(graph: Graph) -> Graph:
    """((x @ w) - m) * s + t -> x @ (w * s) + (t - m * s), where w, m, s and t are weights; and likewise for
    every contraction: the last axis of its right operand is the last of its result.

    Only if nothing else reads what stands between the product and the result.
    """
    users = graph.users()
    results = set(graph.results)
    weights = _weights(graph)
    forms: dict[Node, Affine] = {}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[i] for i in node.inputs)
        new[node] = node if inputs == node.inputs else copy_with(node, inputs, "fold_into_weights")
        form = _form_of(node, forms, weights, new)
        if form is None:
            continue
        if len(users[node]) == 1 and node not in results:
            forms[node] = form
        if form.scale is not None:
            new[node] = _folded(node, form)
    return graph.with_results([new[n] for n in graph.results])


def _weights(graph: Graph) -> set[Node]:
    """Nodes that depend on nothing but constants and states."""
    kinds = (Kind.ELEMENTWISE, Kind.LAYOUT)
    found: set[Node] = set()
    for node in topological(graph.results):
        source = node.op in (CONSTANT, STATE)
        if source or (node.op.kind in kinds and node.inputs and all(i in found for i in node.inputs)):
            found.add(node)
    return found


def _form_of(
    node: Node, forms: dict[Node, Affine], weights: set[Node], new: dict[Node, Node]
) -> Affine | None:
    """The affine form of a node, in terms of new nodes."""
    if node.op.kind is Kind.CONTRACTION and node.inputs[1] in weights:
        return Affine(new[node])
    rule = RULES.get(node.op.name)
    if rule is None:
        return None
    for position, operand in enumerate(node.inputs):
        other = node.inputs[1 - position]
        if operand not in forms or other not in weights:
            continue
        column = _column(other, new)
        if column is not None:
            with made_for(node, "fold_into_weights"):
                return rule(forms[operand], column, position)
    return None


def _column(node: Node, new: dict[Node, Node]) -> Symbol | None:
    """The vector along the last axis that a weight is, repeated over the others."""
    columns = node.type.shape[-1]
    if number_of(node) is not None:
        number = number_of(node)
        return _symbol(broadcast_to(Symbol.lift(node.type.dtype.type(number)), (columns,)))
    rank = node.type.rank
    vector = spread_over(node, tuple(range(rank - 1)), rank)
    if vector is None or node.op.name != "broadcast_to":
        return None
    return _symbol(broadcast_to(reshape(Symbol(new[vector]), (-1,)), (columns,)))


def _plus(form: Affine, column: Any, position: int) -> Affine:
    return Affine(form.product, form.scale, column if form.shift is None else form.shift + column)


def _minus(form: Affine, column: Any, position: int) -> Affine | None:
    """y - c; not c - y."""
    return _plus(form, -column, 0) if position == 0 else None


def _times(form: Affine, column: Any, position: int) -> Affine:
    scale = column if form.scale is None else form.scale * column
    return Affine(form.product, scale, None if form.shift is None else form.shift * column)


def _over(form: Affine, column: Any, position: int) -> Affine | None:
    """y / c; not c / y."""
    return _times(form, 1.0 / column, 0) if position == 0 else None


RULES: dict[str, Callable[[Affine, Any, int], Affine | None]] = {
    arithmetic.add.op.name: _plus,
    arithmetic.subtract.op.name: _minus,
    arithmetic.multiply.op.name: _times,
    arithmetic.divide.op.name: _over,
}


def _folded(node: Node, form: Affine) -> Node:
    x, w = (Symbol(i) for i in form.product.inputs)
    with made_for(node, "fold_into_weights"):
        weights: Any = w * broadcast_to(form.scale, w.shape)
        made: Any = Symbol.apply(form.product.op, (x, weights), dict(form.product.attrs))
        if form.shift is not None:
            made = made + broadcast_to(form.shift, made.shape)
    return _symbol(made).node


def _symbol(value: Any) -> Symbol:
    assert isinstance(value, Symbol)
    return value
