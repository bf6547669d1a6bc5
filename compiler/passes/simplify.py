"""Pass: algebra that is exact for every IEEE value. A rule's docstring is its equation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compiler.passes.patterns import number_of
from symgraph.dimension import product
from symgraph.graph import Graph, Node, transform
from symgraph.op import Op
from symgraph.ops import arithmetic, casting
from symgraph.ops.layout import BROADCAST, PERMUTE, RESHAPE, broadcast_to, permute_dims, reshape
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, made_for

Rule = Callable[[Node, tuple[Node, ...]], Node | None]
RULES: dict[Op, list[Rule]] = {}


def rule(*ops: Op) -> Callable[[Rule], Rule]:
    """Register a rewrite of nodes of these ops: given a node and its new inputs, the replacement or None."""

    def register(function: Rule) -> Rule:
        for op in ops:
            RULES.setdefault(op, []).append(function)
        return function

    return register


def simplify(graph: Graph) -> Graph:
    """Apply every rule once, bottom-up; the runner repeats nothing, so a rule must not undo another."""

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        for rewrite in RULES.get(node.op, ()):
            with made_for(node, "simplify"):
                made = rewrite(node, inputs)
            if made is not None:
                return made
        return None

    return transform(graph, visit, "simplify")


def is_number(node: Node, number: float) -> bool:
    value = number_of(node)
    # -0.0 == 0.0, but x - (-0.0) is not always x's own zero.
    return value is not None and value == number and np.signbit(value) == np.signbit(number)


@rule(arithmetic.multiply.op)
def times_one(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x * 1 = x"""
    x, y = inputs
    return x if is_number(y, 1) else y if is_number(x, 1) else None


@rule(arithmetic.divide.op)
def over_one(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x / 1 = x"""
    return inputs[0] if is_number(inputs[1], 1) else None


@rule(arithmetic.subtract.op)
def minus_zero(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x - 0 = x"""
    return inputs[0] if is_number(inputs[1], 0) else None


@rule(arithmetic.negative.op)
def minus_minus(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """-(-x) = x"""
    return inputs[0].inputs[0] if inputs[0].op is arithmetic.negative.op else None


@rule(arithmetic.add.op)
def plus_negative(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x + (-y) = x - y"""
    x, y = inputs
    if y.op is arithmetic.negative.op:
        return _node(arithmetic.subtract(Symbol(x), Symbol(y.inputs[0])))
    if x.op is arithmetic.negative.op:
        return _node(arithmetic.subtract(Symbol(y), Symbol(x.inputs[0])))
    return None


@rule(arithmetic.subtract.op)
def minus_negative(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x - (-y) = x + y"""
    x, y = inputs
    return _node(arithmetic.add(Symbol(x), Symbol(y.inputs[0]))) if y.op is arithmetic.negative.op else None


@rule(arithmetic.divide.op)
def over_power_of_two(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """x / c = x * (1/c) where c is a power of two, whose reciprocal is exact"""
    number = number_of(inputs[1])
    if number is None or number == 0 or not np.isfinite(number) or abs(np.frexp(number)[0]) != 0.5:
        return None
    if not 1e-30 < abs(number) < 1e30:
        return None
    x = Symbol(inputs[0])
    return _node(arithmetic.multiply(x, casting.full_like(x, 1.0 / number)))


@rule(BROADCAST)
def broadcast_of_broadcast(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """broadcast(broadcast(x)) = broadcast(x)"""
    (x,) = inputs
    if x.type.shape == node.type.shape:
        return x
    return _node(broadcast_to(Symbol(x.inputs[0]), node.type.shape)) if x.op is BROADCAST else None


@rule(RESHAPE)
def reshape_of_reshape(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """reshape(reshape(x)) = reshape(x)"""
    (x,) = inputs
    if x.type.shape == node.type.shape:
        return x
    return _node(reshape(Symbol(x.inputs[0]), node.type.shape)) if x.op is RESHAPE else None


@rule(PERMUTE)
def permute_of_permute(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """permute(permute(x, p), q) = permute(x, p[q])"""
    (x,) = inputs
    if x.op is not PERMUTE:
        return None
    inner, outer = x.attrs["axes"], node.attrs["axes"]
    return _node(permute_dims(Symbol(x.inputs[0]), tuple(inner[i] for i in outer)))


@rule(sum_.op)
def sum_over_ones(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """sum over axes of size 1 = reshape"""
    (x,) = inputs
    if product(x.type.shape[i] for i in node.attrs["axes"]) != 1:
        return None
    return _node(reshape(Symbol(x), node.type.shape))


@rule(casting.CAST_OP)
def cast_to_same(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """cast(x, dtype of x) = x"""
    return inputs[0] if inputs[0].type.dtype == node.type.dtype else None


@rule(casting.stop_gradient.op)
def stopped(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """stop_gradient(x) = x, once gradients are derived"""
    return inputs[0]


def _node(value: object) -> Node:
    assert isinstance(value, Symbol)
    return value.node
