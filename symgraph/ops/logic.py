"""Comparisons, logic, bits, and choosing between two values, elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.op import Kind, Op
from symgraph.ops.elementwise import aligned, elementwise, spread
from symgraph.ops.function import ANY, BITS, NUMERIC, Function, lift_like
from symgraph.types import bool_
from symgraph.value import Value, apply


@elementwise(NUMERIC, result=bool_)
def less(k: Any, x: Any, y: Any) -> Any:
    """x < y."""
    return x < y


@elementwise(NUMERIC, result=bool_)
def less_equal(k: Any, x: Any, y: Any) -> Any:
    """x <= y."""
    return x <= y


@elementwise(NUMERIC, result=bool_)
def greater(k: Any, x: Any, y: Any) -> Any:
    """x > y."""
    return x > y


@elementwise(NUMERIC, result=bool_)
def greater_equal(k: Any, x: Any, y: Any) -> Any:
    """x >= y."""
    return x >= y


@elementwise(ANY, result=bool_)
def equal(k: Any, x: Any, y: Any) -> Any:
    """x == y; NaN equals nothing."""
    return k.equal(x, y)


@elementwise(ANY, result=bool_)
def not_equal(k: Any, x: Any, y: Any) -> Any:
    """x != y; NaN differs from everything."""
    return k.not_equal(x, y)


@elementwise(result=bool_)
def isnan(k: Any, x: Any) -> Any:
    """Whether x is not a number."""
    return k.not_equal(x, x)


@elementwise(result=bool_)
def isfinite(k: Any, x: Any) -> Any:
    """Whether x is neither NaN nor infinite."""
    return k.equal(x - x, k.constant(0, x.dtype))


@elementwise(BITS)
def bitwise_and(k: Any, x: Any, y: Any) -> Any:
    """x & y of integers or bools."""
    return x & y


@elementwise(BITS)
def bitwise_or(k: Any, x: Any, y: Any) -> Any:
    """x | y of integers or bools."""
    return x | y


@elementwise(BITS)
def bitwise_xor(k: Any, x: Any, y: Any) -> Any:
    """x ^ y of integers or bools."""
    return x ^ y


@elementwise((bool_,))
def logical_not(k: Any, x: Any) -> Any:
    """not x."""
    return k.logical_not(x)


def _where(k: Any, condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds (a bool, or a number that is not 0), else y. x and y share a dtype."""
    return k.where(condition, x, y)


def _call_where(condition: Any, x: Any, y: Any) -> Value:
    everything = (condition, x, y)
    chosen = aligned("where", (x, y))
    test = lift_like(condition, everything)
    if test.dtype != bool_:
        test = not_equal(test, 0)
    return apply(WHERE, spread("where", (test, *(lift_like(v, everything) for v in chosen))))


WHERE = Op(
    "where",
    Kind.ELEMENTWISE,
    infer=lambda condition, x, y: x,
    evaluate=np.where,
    body=_where,
    doc=_where.__doc__ or "",
)
where = Function(WHERE, _call_where, _where)


@where.vjp
def where_vjp(condition: Any, x: Any, y: Any, out: Any, g: Any) -> Any:
    return None, where(condition, g, 0.0), where(condition, 0.0, g)
