"""Elementwise arithmetic, rounding and limits."""

from __future__ import annotations

from typing import Any

from symgraph.ops.casting import zeros_like
from symgraph.ops.elementwise import elementwise
from symgraph.ops.function import NUMERIC
from symgraph.ops.logic import where
from symgraph.types import INTEGERS


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
def clip(k: Any, x: Any, *, min: float | None = None, max: float | None = None) -> Any:
    """x limited to [min, max], on a side that is None not at all; NaN stays NaN."""
    if max is not None:
        high = k.constant(max, x.dtype)
        x = k.where(x > high, high, x)
    if min is not None:
        low = k.constant(min, x.dtype)
        x = k.where(x < low, low, x)
    return x


@clip.vjp
def clip_vjp(x: Any, out: Any, g: Any, *, min: float | None = None, max: float | None = None) -> Any:
    if min is not None:
        g = where(x >= min, g, 0.0)
    return g if max is None else where(x <= max, g, 0.0)
