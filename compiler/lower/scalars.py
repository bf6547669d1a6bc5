"""The small language `k` of scalar formulas, as expressions of the loop IR."""

from __future__ import annotations

from typing import Any

from compiler.loop.grammar import Binary, Cast, Const, Expr, Unary, as_expr, binary, call, constant, select
from symgraph.types import FLOATS, DType, bool_


def _called(function: str) -> Any:
    def apply(*arguments: Expr | float) -> Expr:
        return call(function, *arguments)

    return staticmethod(apply)


def _unary(op: str) -> Any:
    def apply(x: Expr) -> Expr:
        return Unary(op, x)

    return staticmethod(apply)


def _binary(op: str) -> Any:
    def apply(x: Expr | float, y: Expr | float) -> Expr:
        return binary(op, x, y)

    return staticmethod(apply)


class LoopScalars:
    """The names of symgraph.ops.scalars.NumpyScalars over Expr."""

    abs = _unary("abs")
    sqrt = _unary("sqrt")
    floor = _unary("floor")
    round = _unary("round")
    logical_not = _unary("not")
    exp = _called("exp")
    expm1 = _called("expm1")
    log = _called("log")
    log1p = _called("log1p")
    tanh = _called("tanh")
    sin = _called("sin")
    cos = _called("cos")
    erf = _called("erf")
    sigmoid = _called("sigmoid")
    rsqrt = _called("rsqrt")
    pow = _called("pow")
    maximum = _binary("maximum")
    minimum = _binary("minimum")
    equal = _binary("eq")
    not_equal = _binary("ne")
    divide = _binary("div")
    floor_divide = _binary("div")
    where = staticmethod(select)
    constant = staticmethod(constant)

    @staticmethod
    def cast(x: Expr, dtype: DType) -> Expr:
        if x.dtype == dtype:
            return x
        if dtype == bool_:
            return Binary("ne", x, as_expr(0, x.dtype))
        return constant(x.value, dtype) if isinstance(x, Const) and dtype in FLOATS else Cast(x, dtype)

    @staticmethod
    def shift_right(x: Expr, places: int) -> Expr:
        return x >> places


LOOP = LoopScalars()
