"""`sg.grad`: ask for derivatives, in a graph that the compiler completes or from the tape at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgraph.chain_rule import carries_gradient, explain_break
from symgraph.eager import State, Tensor, tape_gradients
from symgraph.errors import GradientError, GraphError, ShapeError
from symgraph.graph import Node
from symgraph.op import Kind, Op
from symgraph.structure import flatten, rebuild
from symgraph.symbol import Symbol, node_of, placed
from symgraph.types import FLOATS
from symgraph.value import Value

REQUEST = Op(
    "gradient",
    Kind.REQUEST,
    infer=lambda loss, wanted: wanted,
    doc="d(first operand)/d(second operand), asked for; derive_gradients replaces it by the chain rule.",
)


def grad(loss: Any, wrt: Any) -> Any:
    """d(loss)/d(wrt), in the structure of `wrt`: a value, or a list, tuple or dict (nested) of values.

    `loss` is a float scalar. For a Symbol the result is part of the graph, for a Tensor it is computed at
    once; both can be differentiated again. Each gradient has the type of what it belongs to.

    Raises ShapeError (the loss is not a scalar), GradientError (nothing float, or no path to the loss).
    """
    try:
        return _grad(loss, wrt)
    except (GradientError, GraphError, ShapeError) as error:
        raise placed(error) from None


def _grad(loss: Any, wrt: Any) -> Any:
    wanted = [leaf for _, leaf in flatten(wrt)]
    _check(loss, wanted)
    found = _static(loss, wanted) if isinstance(loss, Symbol) else _eager(loss, wanted)
    return rebuild(wrt, found)


def _static(loss: Symbol, wanted: Sequence[Any]) -> list[Symbol]:
    nodes = [_source(loss, value) for value in wanted]
    reached = _reached_from(loss.node)
    for node in nodes:
        if node not in reached:
            reason = explain_break(loss.node, node)
            raise placed(GradientError(f"grad: no gradient for {node.name}: {reason}"), [Symbol(node)])
    return [Symbol.apply(REQUEST, (loss, Symbol(node)), {}) for node in nodes]


def _source(loss: Symbol, value: Any) -> Node:
    if isinstance(value, Tensor) and not isinstance(value, State):
        raise GraphError(
            f"grad: the loss is {loss!r}, but wrt holds an eager tensor {value.type}, "
            "a constant in that graph; use sg.input, sg.state or nn.Parameter for it"
        )
    return node_of(value)


def _reached_from(loss: Node) -> set[Node]:
    """Nodes with a differentiable path to the loss. A request passes on what its own loss depends on."""
    reached = {loss}
    stack = [loss]
    while stack:
        node = stack.pop()
        if not carries_gradient(node) and node.op.kind is not Kind.REQUEST:
            continue
        for operand in node.inputs:
            if operand not in reached:
                reached.add(operand)
                stack.append(operand)
    return reached


def _eager(loss: Tensor, wanted: Sequence[Any]) -> list[Tensor]:
    for value in wanted:
        if isinstance(value, Symbol):
            raise GraphError(f"grad: the loss is an eager tensor, but wrt holds {value!r} of a graph")
    seed = Tensor(np.ones_like(loss.data))
    found = {id(value): gradient for value, gradient in tape_gradients(loss, seed, wanted)}
    for position, value in enumerate(wanted):
        if id(value) not in found:
            reason = f"{_name(value, position)}: {_eager_reason(value)}"
            raise placed(GradientError(f"grad: no gradient for {reason}"), [value])
    return [found[id(value)] for value in wanted]


def _name(value: Tensor, position: int) -> str:
    return value.name if isinstance(value, State) else f"value {position} of wrt ({value.type})"


def _eager_reason(value: Tensor) -> str:
    if not value.requires_grad:
        return "it was made with requires_grad=False"
    return "the loss does not depend on it (computed under no_grad, after detach, or without it)"


def _check(loss: Any, wanted: Sequence[Any]) -> None:
    if not isinstance(loss, Value):
        raise GradientError(f"grad: the loss is a Symbol or a Tensor, not {type(loss).__name__}")
    if loss.shape != ():
        raise ShapeError(
            f"grad: the loss is {loss.type}, not a scalar; reduce it first, as in sg.grad(sg.sum(y * g), x) "
            "for the product of a vector g and the Jacobian of y"
        )
    for value in (loss, *wanted):
        if not isinstance(value, Value):
            got = type(value).__name__
            raise GradientError(f"grad: wrt holds {got}, expected symbols, parameters or tensors")
        if value.dtype not in FLOATS:
            raise GradientError(f"grad: {value.type} has no gradient; only float32 and float64 values do")
