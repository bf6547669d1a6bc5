"""log, log1p and pow.

log(2^e m) = e ln 2 + log(1 + f), f = m - 1, sqrt(1/2) <= m < sqrt(2). In f32 log(1 + f) = f - f^2/2 +
f^3 P(f); in f64 it is f - (f^2/2 - s (f^2/2 + R(s^2))), s = f / (2 + f) (fdlibm's e_log.c).
Coefficients: fitted as those of exp.
"""

from __future__ import annotations

from compiler.loop.grammar import Cast, Expr, constant, select
from compiler.loop.math_exponential import OVERFLOWS, VANISHES, exp_of_sum
from compiler.loop.math_format import (
    FORMATS,
    INFINITY,
    LN2_HIGH,
    LN2_LOW,
    NAN,
    at_least,
    at_most,
    bits,
    equal,
    floor,
    fma,
    from_bits,
    magnitude,
    polynomial,
)
from symgraph.types import float32, float64, int32

SQRT_HALF_BITS = {float32: 0x3F3504F3, float64: 0x3FE6A09E667F3BCD}

# P: error 2^-30 of log(1 + f).
LOG_F32 = (
    0.3333331, -0.25000015, 0.20002227, -0.16667727, 0.14217563, -0.12409747, 0.11905413, -0.11655146,
    0.06684156,
)  # fmt: skip
# R(z) / z: error 2^-59 of log(1 + f).
LOG_F64 = (
    0.6666666666666737, 0.3999999999939863, 0.28571428745551214, 0.22222198273544116,
    0.1818357906686337, 0.1531368752092411, 0.14799487338447104,
)  # fmt: skip


def log(x: Expr) -> Expr:
    return _ends(x, 0.0, _log(*_split(x)))


def log1p(x: Expr) -> Expr:
    """With 1 + x = 2^e m only e is taken from the rounded sum: f = 2^-e x + (2^-e - 1) rounds once."""
    form = FORMATS[x.dtype]
    biased = _biased(x + 1.0)
    # 2^(2-e) is a normal float for each e; 2^-e is not.
    scale = from_bits(((2 * form.bias + 2) - (biased >> form.fraction)) << form.fraction)
    fraction = fma(scale, x * 0.25, fma(scale, 0.25, -1.0))
    result = _ends(x, -1.0, _log(_exponent(biased), fraction))
    # x itself where x^2/2 is below half an ULP: keeps -0 and subnormals.
    return select(magnitude(x) < 2.0 ** -(form.fraction + 2), x, result)


def power(x: Expr, y: Expr) -> Expr:
    """C's pow. f32 is computed in f64. f64 is within 4e-14, relative, where it does not underflow."""
    form = FORMATS[x.dtype]
    size = Cast(_power_of_size(magnitude(_wide(x)), _wide(y)), x.dtype)
    # 1 to any power and anything to the power 0 are 1, NaN included.
    size = select(equal(y, 0.0) | equal(magnitude(x), 1.0), 1.0, size)
    half = y * 0.5
    whole = equal(floor(y), y)
    odd = whole & ~equal(floor(half), half)
    sign = select(odd, bits(x) & form.sign, 0)
    undefined = (x < 0.0) & (x > -INFINITY) & ~whole
    return select(undefined, NAN, from_bits(bits(size) | sign))


def _wide(x: Expr) -> Expr:
    return x if x.dtype == float64 else Cast(x, float64)


def _power_of_size(x: Expr, y: Expr) -> Expr:
    """exp(y log x) in f64 for x >= 0, from the logarithm and the product in two parts each."""
    head, tail = _log_parts(*_split(x))
    total = head + tail
    low = tail - (total - head)
    high = _ends(x, 0.0, total)
    product = y * high
    rest = fma(y, low, fma(y, high, -product))
    limited = at_least(at_most(product, OVERFLOWS[float64]), VANISHES[float64])
    # Beyond the limits `rest` may be no number, and does not count.
    return exp_of_sum(limited, select(equal(limited, product), rest, 0.0))


def _log(exponent: Expr, fraction: Expr) -> Expr:
    """e ln 2 + log(1 + f)."""
    if fraction.dtype == float64:
        high, low = _log_parts(exponent, fraction)
        return high + low
    square = fraction * fraction
    tail = fma(fraction, polynomial(LOG_F32, fraction), -0.5)
    low = fma(square, tail, exponent * LN2_LOW[float32])
    return fma(exponent, LN2_HIGH[float32], fraction + low)


def _log_parts(exponent: Expr, fraction: Expr) -> tuple[Expr, Expr]:
    """The same in f64 as the sum of a large part and a smaller one, good to about 56 bits."""
    half_square = fraction * fraction * 0.5
    ratio = fraction / (fraction + 2.0)
    square = ratio * ratio
    series = half_square + square * polynomial(LOG_F64, square)
    tail = exponent * LN2_LOW[float64] - (half_square - ratio * series)
    head = exponent * LN2_HIGH[float64]
    high = head + fraction
    return high, (fraction - (high - head)) + tail


def _split(x: Expr) -> tuple[Expr, Expr]:
    """e and f with x = 2^e (1 + f), for positive x; anything for others."""
    form = FORMATS[x.dtype]
    subnormal = x < form.smallest_normal
    biased = _biased(select(subnormal, x * 2.0**form.fraction, x))
    mantissa = (biased & ((1 << form.fraction) - 1)) + SQRT_HALF_BITS[x.dtype]
    moved = select(subnormal, constant(form.fraction, x.dtype), 0.0)
    return _exponent(biased) - moved, from_bits(mantissa) - 1.0


def _biased(x: Expr) -> Expr:
    """The bits of x moved so that the exponent field holds e + bias, and the rest m - sqrt(1/2)."""
    form = FORMATS[x.dtype]
    return bits(x) + ((form.bias << form.fraction) - SQRT_HALF_BITS[x.dtype])


def _exponent(biased: Expr) -> Expr:
    """e as a float: the field becomes the last bits of 2^fraction + field, cheaper than a conversion."""
    form = FORMATS[float32 if biased.dtype == int32 else float64]
    ones_place = 2.0**form.fraction
    field_bits = (biased >> form.fraction) | ((form.bias + form.fraction) << form.fraction)
    return from_bits(field_bits) - (ones_place + form.bias)


def _ends(x: Expr, pole: float, result: Expr) -> Expr:
    """The result inside (pole, infinity); at the ends -infinity and infinity; NaN elsewhere."""
    inside = select(x < INFINITY, result, x)
    return select(x > pole, inside, select(equal(x, pole), constant(-INFINITY, x.dtype), NAN))
