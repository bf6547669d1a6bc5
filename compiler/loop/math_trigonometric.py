"""sin and cos: reduce to a quarter turn, then one polynomial each and a choice by quadrant.

f32 is computed in f64, exactly reduced over its whole range. f64 is reduced with pi/2 in three parts, good
for |x| up to 2^48; beyond that the result is NaN rather than a wrong number. Coefficients: fitted as those
of exp.
"""

from __future__ import annotations

from compiler.loop.grammar import Cast, Expr, select
from compiler.loop.math_format import (
    FORMATS,
    NAN,
    bits,
    equal,
    fma,
    from_bits,
    magnitude,
    polynomial,
    round_even,
)
from symgraph.types import float32, float64

# 1/(2 pi) in pieces of 29 bits, so that their products with 24-bit significands are exact in f64, and a rest
# of 53 bits whose products with any f32 stay below one. (Payne and Hanek 1983, with a fixed window.)
TURNS = (
    float.fromhex("0x1.45f306dp-3"),
    float.fromhex("0x1.9391054p-32"),
    float.fromhex("0x1.4fe13abp-61"),
    float.fromhex("0x1.d1f534dp-90"),
    float.fromhex("0x1.b81b6c5p-119"),
)
TURNS_REST = float.fromhex("0x1.5993c439041fep-150")

TWO_OVER_PI = 0.6366197723675814
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
LARGEST_F64 = 2.0**48

# sin(r) = r + r^3 S(r^2), cos(r) = 1 - r^2/2 + r^4 C(r^2) for |r| <= pi/4.
SIN_F32 = (-0.16666666640750966, 0.008333329305546784, -0.00019839312769740787, 2.7181240782131607e-06)
COS_F32 = (0.041666666620693966, -0.0013888883596506474, 2.4799483472551166e-05, -2.72075112490249e-07)
SIN_F64 = (
    -0.1666666666666663, 0.008333333333321945, -0.00019841269829484602, 2.755731359108751e-06,
    -2.5050743528454354e-08, 1.5896000046150026e-10,
)  # fmt: skip
COS_F64 = (
    0.041666666666666595, -0.0013888888888873433, 2.4801587289088995e-05, -2.7557314246727625e-07,
    2.087570973642429e-09, -1.1358979878585515e-11,
)  # fmt: skip


def sin(x: Expr) -> Expr:
    result = _sin_f32(x, 0) if x.dtype == float32 else _sin_f64(x, 0)
    # x itself where x^3/6 is below half an ULP: keeps -0 and subnormals.
    return select(magnitude(x) < 2.0 ** -(FORMATS[x.dtype].fraction // 2 + 1), x, result)


def cos(x: Expr) -> Expr:
    return _sin_f32(x, 1) if x.dtype == float32 else _sin_f64(x, 1)


def _sin_f32(x: Expr, quarters: int) -> Expr:
    """sin(x + quarters * pi/2)."""
    turns, lost = _turns(Cast(x, float64))
    quadrant = turns * 4.0
    shifted = quadrant + FORMATS[float64].rounder
    rest = fma(lost, 4.0, quadrant - (shifted - FORMATS[float64].rounder)) * HALF_PI[0]
    square = rest * rest
    sine = fma(rest * square, polynomial(SIN_F32, square), rest)
    cosine = fma(square * square, polynomial(COS_F32, square), fma(square, -0.5, 1.0))
    return Cast(_by_quadrant(bits(shifted) + quarters, sine, cosine), float32)


def _turns(x: Expr) -> tuple[Expr, Expr]:
    """x / (2 pi) but for whole turns, as a sum of two.

    The second is what the first lost to rounding (Dekker); it counts next to a multiple of a quarter turn.
    """
    total = _fraction(x * TURNS[0])
    lost = x * TURNS_REST
    for part in TURNS[1:]:
        fraction = _fraction(x * part)
        longer = total + fraction
        lost = lost + (fraction - (longer - total))
        total = longer
    return total, lost


def _fraction(x: Expr) -> Expr:
    return x - round_even(x)


def _sin_f64(x: Expr, quarters: int) -> Expr:
    rounder = FORMATS[float64].rounder
    shifted = fma(x, TWO_OVER_PI, rounder)
    rest, lost = _reduce_f64(x, shifted - rounder)
    square = rest * rest
    cube = rest * square
    half_square = square * 0.5
    sine = rest + fma(cube, polynomial(SIN_F64, square), lost * (1.0 - half_square))
    near_one = 1.0 - half_square
    missing = (1.0 - near_one) - half_square
    small = fma(square * square, polynomial(COS_F64, square), missing - rest * lost)
    result = _by_quadrant(bits(shifted) + quarters, sine, near_one + small)
    return select(magnitude(x) <= LARGEST_F64, result, NAN)


def _reduce_f64(x: Expr, count: Expr) -> tuple[Expr, Expr]:
    """x - count pi/2 as a sum of two: the first part of pi/2 subtracts exactly, the second as a two-sum."""
    first = fma(-count, HALF_PI[0], x)
    second = count * HALF_PI[1]
    third = fma(count, HALF_PI[2], fma(count, HALF_PI[1], -second))
    rest = first - second
    change = rest - first
    lost = (first - (rest - change)) - (second + change)
    return rest, lost - third


def _by_quadrant(quadrant: Expr, sine: Expr, cosine: Expr) -> Expr:
    """Sine, cosine, -sine, -cosine for 0, 1, 2, 3 in the low bits."""
    value = select(equal(quadrant & 1, 0), sine, cosine)
    return from_bits(bits(value) ^ ((quadrant & 2) << 62))
