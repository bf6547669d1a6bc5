"""Declaring elementwise ops: one scalar formula gives inference, numpy evaluation and compiled code."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np

from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.function import Function, lift_all, require
from symgraph.ops.layout import broadcast_to
from symgraph.ops.scalars import NUMPY
from symgraph.types import FLOATS, DType, TensorType
from symgraph.value import Value, apply, broadcast_shapes, promote


def elementwise(
    accepts: tuple[DType, ...] = FLOATS, result: DType | None = None
) -> Callable[[Callable[..., Any]], Function]:
    """Declare an elementwise op by its scalar formula `body(k, *scalars, **attrs)`.

    Operands are promoted to one dtype among `accepts` and broadcast against each other. Attributes are the
    formula's keyword-only parameters; a caller may give them by position, behind the operands.
    """

    def declare(body: Callable[..., Any]) -> Function:
        name = body.__name__
        arity, usage = _usage(body)

        def infer(*types: TensorType, **_: Any) -> TensorType:
            first = types[0]
            require(name, first.dtype, accepts)
            for other in types[1:]:
                if other != first:
                    raise ShapeError(f"{name}: operands differ, {first} and {other}")
            return TensorType(first.shape, result or first.dtype)

        def evaluate(*arrays: np.ndarray, **attrs: Any) -> np.ndarray:
            value = np.asarray(body(NUMPY, *arrays, **attrs))
            return value.astype(result or arrays[0].dtype, copy=False)

        op = Op(name, Kind.ELEMENTWISE, infer, evaluate, body, doc=body.__doc__ or "")

        def call(*operands: Any, **attrs: Any) -> Value:
            if attrs or len(operands) != arity:
                operands, attrs = _sorted_out(name, usage, arity, operands, attrs)
            return apply(op, aligned(name, operands), **attrs)

        return Function(op, call, body)

    return declare


def _usage(body: Callable[..., Any]) -> tuple[int, Signature]:
    """The number of operands of a formula, and how its op is called."""
    _, *parameters = signature(body).parameters.values()
    arity = sum(parameter.kind is not Parameter.KEYWORD_ONLY for parameter in parameters)
    plain = {"kind": Parameter.POSITIONAL_OR_KEYWORD, "annotation": Parameter.empty}
    return arity, Signature([parameter.replace(**plain) for parameter in parameters])


def _sorted_out(
    name: str, usage: Signature, arity: int, given: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(operands, attributes) of a call, however they were given. Raises TypeError with the usage."""
    try:
        bound = usage.bind(*given, **named).arguments
    except TypeError as error:
        raise TypeError(f"{name}{usage}: {error}") from None
    entries = list(bound.items())
    return tuple(value for _, value in entries[:arity]), dict(entries[arity:])


def aligned(name: str, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands with one dtype and one shape, by explicit cast and broadcast nodes."""
    operands = promote(name, operands)
    if all(o.shape == operands[0].shape for o in operands):
        return operands
    return spread(name, lift_all(operands))


def spread(name: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values of any dtypes broadcast to their common shape."""
    shape = broadcast_shapes(name, [v.shape for v in values])
    return tuple(v if v.shape == shape else broadcast_to(v, shape) for v in values)
