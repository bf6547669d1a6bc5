"""Elementwise arithmetic, comparison, logic and elementary functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.op import Kind, Op
from symgraph.ops.elementwise import aligned, elementwise, spread
from symgraph.ops.function import ANY, BITS, NUMERIC, Function, lift_like
from symgraph.ops.layout import broadcast_to
from symgraph.ops.scalars import cast_array
from symgraph.types import INTEGERS, DType, TensorType, as_dtype, bool_
from symgraph.value import CAST, Value, apply


@elementwise(NUMERIC)
def add(k: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return x + y


@add.vjp
def add_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return g, g


@elementwise(NUMERIC)
def subtract(k: Any, x: Any, y: Any) -> Any:
    """x - y."""
    return x - y


@subtract.vjp
def subtract_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return g, -g


@elementwise(NUMERIC)
def multiply(k: Any, x: Any, y: Any) -> Any:
    """x * y."""
    return x * y


@multiply.vjp
def multiply_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return g * y, g * x


@elementwise()
def divide(k: Any, x: Any, y: Any) -> Any:
    """x / y, of floats; cast integers first, or use floor_divide."""
    return k.divide(x, y)


@divide.vjp
def divide_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    q = g / y
    return q, -q * out


@elementwise(INTEGERS)
def floor_divide(k: Any, x: Any, y: Any) -> Any:
    """Integer quotient rounded towards minus infinity; 0 where y is 0."""
    return k.floor_divide(x, y)


@elementwise(INTEGERS)
def remainder(k: Any, x: Any, y: Any) -> Any:
    """x - y * floor(x / y) of integers: the sign of y; 0 where y is 0."""
    return x % y


@elementwise(NUMERIC)
def negative(k: Any, x: Any) -> Any:
    """-x."""
    return -x


@negative.vjp
def negative_vjp(x: Any, out: Any, g: Any) -> Any:
    return -g


@elementwise()
def pow(k: Any, x: Any, y: Any) -> Any:
    """x to the power y. For a constant whole number use `x ** n`, which multiplies."""
    return k.pow(x, y)


@pow.vjp
def pow_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    # d/dy = x^y log x; where x is 0 the limit 0 is taken, as PyTorch does.
    safe = where(x == 0.0, 1.0, x)
    return g * where(y == 0.0, 0.0, y * pow(x, y - 1.0)), g * where(x == 0.0, 0.0, out * log(safe))


@elementwise(NUMERIC)
def square(k: Any, x: Any) -> Any:
    """x * x."""
    return x * x


@square.vjp
def square_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (2.0 * x)


@elementwise(NUMERIC)
def abs(k: Any, x: Any) -> Any:
    """|x|."""
    return k.abs(x)


@abs.vjp
def abs_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * sign(x)


@elementwise(NUMERIC)
def sign(k: Any, x: Any) -> Any:
    """-1, 0 or 1; NaN stays NaN."""
    one = k.constant(1, x.dtype)
    return k.where(x > 0, one, k.where(x < 0, -one, x))


@sign.vjp
def sign_vjp(x: Any, out: Any, g: Any) -> Any:
    return zeros_like(x)


@elementwise()
def floor(k: Any, x: Any) -> Any:
    """The largest whole number not above x."""
    return k.floor(x)


@floor.vjp
def floor_vjp(x: Any, out: Any, g: Any) -> Any:
    return zeros_like(x)


@elementwise()
def exp(k: Any, x: Any) -> Any:
    """e to the power x."""
    return k.exp(x)


@exp.vjp
def exp_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * out


@elementwise()
def expm1(k: Any, x: Any) -> Any:
    """exp(x) - 1, accurate near 0."""
    return k.expm1(x)


@expm1.vjp
def expm1_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * exp(x)


@elementwise()
def log(k: Any, x: Any) -> Any:
    """Natural logarithm; log(0) = -inf, NaN below."""
    return k.log(x)


@log.vjp
def log_vjp(x: Any, out: Any, g: Any) -> Any:
    return g / x


@elementwise()
def log1p(k: Any, x: Any) -> Any:
    """log(1 + x), accurate near 0."""
    return k.log1p(x)


@log1p.vjp
def log1p_vjp(x: Any, out: Any, g: Any) -> Any:
    return g / (1.0 + x)


@elementwise()
def sqrt(k: Any, x: Any) -> Any:
    """Square root; NaN below 0."""
    return k.sqrt(x)


@sqrt.vjp
def sqrt_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (0.5 / out)


@elementwise()
def rsqrt(k: Any, x: Any) -> Any:
    """1 / sqrt(x)."""
    return k.rsqrt(x)


@rsqrt.vjp
def rsqrt_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (-0.5 * out * out * out)


@elementwise()
def sin(k: Any, x: Any) -> Any:
    """Sine of an angle in radians."""
    return k.sin(x)


@sin.vjp
def sin_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * cos(x)


@elementwise()
def cos(k: Any, x: Any) -> Any:
    """Cosine of an angle in radians."""
    return k.cos(x)


@cos.vjp
def cos_vjp(x: Any, out: Any, g: Any) -> Any:
    return -g * sin(x)


@elementwise()
def tanh(k: Any, x: Any) -> Any:
    """Hyperbolic tangent."""
    return k.tanh(x)


@tanh.vjp
def tanh_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (1.0 - out * out)


@elementwise()
def erf(k: Any, x: Any) -> Any:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return k.erf(x)


@erf.vjp
def erf_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (1.1283791670955126 * exp(-x * x))


@elementwise(NUMERIC)
def maximum(k: Any, x: Any, y: Any) -> Any:
    """The larger; NaN where either is."""
    return k.maximum(x, y)


@maximum.vjp
def maximum_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return _share(x > y, x == y, g), _share(y > x, x == y, g)


@elementwise(NUMERIC)
def minimum(k: Any, x: Any, y: Any) -> Any:
    """The smaller; NaN where either is."""
    return k.minimum(x, y)


@minimum.vjp
def minimum_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return _share(x < y, x == y, g), _share(y < x, x == y, g)


def _share(wins: Any, ties: Any, g: Any) -> Any:
    """The winner's gradient; at a tie each side gets half, as PyTorch does."""
    return where(wins, g, where(ties, 0.5 * g, 0.0))


@elementwise(NUMERIC)
def clip(k: Any, x: Any, *, min: float, max: float) -> Any:
    """x limited to [min, max]; NaN stays NaN."""
    low, high = k.constant(min, x.dtype), k.constant(max, x.dtype)
    return k.where(x < low, low, k.where(x > high, high, x))


@clip.vjp
def clip_vjp(x: Any, out: Any, g: Any, *, min: float, max: float) -> Any:
    return where((x >= min) & (x <= max), g, 0.0)


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


def _infer_cast(x: TensorType, *, dtype: DType) -> TensorType:
    return TensorType(x.shape, dtype)


def _cast(k: Any, x: Any, *, dtype: DType) -> Any:
    """x as another element type. Float to int truncates and saturates, NaN becomes 0."""
    return k.cast(x, dtype)


CAST_OP = Op("cast", Kind.ELEMENTWISE, _infer_cast, cast_array, _cast, doc=_cast.__doc__ or "")


def _call_cast(x: Any, dtype: Any) -> Value:
    wanted = as_dtype(dtype)
    value = lift_like(x, (x,))
    return value if value.dtype == wanted else apply(CAST_OP, (value,), dtype=wanted)


cast = Function(CAST_OP, _call_cast, _cast)
CAST.append(cast)


@cast.vjp
def cast_vjp(x: Any, out: Any, g: Any, *, dtype: DType) -> Any:
    return cast(g, x.dtype)


@elementwise(ANY)
def stop_gradient(k: Any, x: Any) -> Any:
    """x, through which no gradient flows (`detach` in the eager world)."""
    return x


def zeros_like(x: Any) -> Value:
    """Zeros of x's shape and dtype, in x's world."""
    return full_like(x, 0)


def full_like(x: Any, value: float) -> Value:
    """One number in x's shape and dtype, in x's world."""
    scalar = lift_like(np.asarray(value, dtype=x.dtype), (x,))
    return broadcast_to(scalar, x.shape)
