"""What the math bodies share: the layout of the two float formats and a few small formulas.

Bodies are straight-line loop IR over one scalar: no branch, no table, no call but fma, so they run in SIMD
lanes. Special values are patched by selects. Never is a float that may be NaN or huge cast to an integer:
adding 1.5 * 2^fraction rounds to an integer and leaves it in the low bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.loop.grammar import Expr, Unary, binary, call, select
from symgraph.types import DType, float32, float64, int32, int64


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE binary format and the integers of its width."""

    dtype: DType
    integer: DType
    fraction: int  # stored bits of the significand
    bias: int

    @property
    def rounder(self) -> float:
        """Added to a float below 2^(fraction-1), rounds it to an integer n; the sum's low bits hold n."""
        return 1.5 * 2.0**self.fraction

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def sign(self) -> int:
        """The integer with only the sign bit set."""
        return -(1 << (31 if self.dtype == float32 else 63))


FORMATS = {
    float32: Format(float32, int32, 23, 127),
    float64: Format(float64, int64, 52, 1023),
}
INFINITY = float("inf")
NAN = float("nan")

# ln 2 in two parts; products of the first with an exponent are exact, fused or not.
LN2_HIGH = {float32: 0.693145751953125, float64: 0.693147180559663}
LN2_LOW = {float32: 1.4286068203094173e-06, float64: 2.8235290563031577e-13}


def fma(x: Expr | float, y: Expr | float, z: Expr | float) -> Expr:
    """x * y + z, rounded once."""
    return call("fma", x, y, z)


def bits(x: Expr) -> Expr:
    return Unary("bits_as_int", x)


def from_bits(x: Expr) -> Expr:
    return Unary("bits_as_float", x)


def magnitude(x: Expr) -> Expr:
    return Unary("abs", x)


def floor(x: Expr) -> Expr:
    return Unary("floor", x)


def round_even(x: Expr) -> Expr:
    return Unary("round", x)


def equal(x: Expr, y: Expr | float) -> Expr:
    return binary("eq", x, y)


def at_most(x: Expr, bound: float) -> Expr:
    """The smaller of both; NaN stays NaN."""
    return select(x > bound, bound, x)


def at_least(x: Expr, bound: float) -> Expr:
    return select(x < bound, bound, x)


def with_sign_of(x: Expr, y: Expr) -> Expr:
    """x, not negative, with the sign of y."""
    sign = FORMATS[x.dtype].sign
    return from_bits(bits(x) | (bits(y) & sign))


def polynomial(coefficients: Sequence[float], x: Expr) -> Expr:
    """coefficients[i] * x^i by Horner's rule."""
    *lower, total = coefficients
    for coefficient in reversed(lower):
        total = fma(total, x, coefficient)
    assert isinstance(total, Expr)
    return total
