"""exp and what is made of it: expm1, sigmoid, tanh, erf.

exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2 in two parts (Cody and Waite 1980), and
exp(r) = 1 + r + r^2 Q(r) on |r| <= ln(2)/2. Coefficients: weighted least squares at Chebyshev nodes, in
50 digits, rounded to the format one after another, the others fitted again each time. The bounds named
are of the approximation alone, relative to the function.
"""

from __future__ import annotations

from compiler.loop.grammar import Expr, select
from compiler.loop.math_format import (
    FORMATS,
    LN2_HIGH,
    LN2_LOW,
    at_least,
    at_most,
    bits,
    fma,
    from_bits,
    magnitude,
    polynomial,
    with_sign_of,
)
from symgraph.special import ERF_SATURATES, ERF_SMALL, ERF_TAIL_P, ERF_TAIL_Q
from symgraph.types import float32, float64

LOG2_E = 1.4426950408889634

# Q: error 2^-28 in f32, 2^-62 in f64.
EXP = {
    float32: (0.49999988, 0.16666517, 0.04166964, 0.008369131, 0.001374655),
    float64: (
        0.5, 0.16666666666666685, 0.04166666666666651, 0.008333333333315911, 0.0013888888888975632,
        0.0001984126989885564, 2.4801587140893263e-05, 2.755723260007259e-06, 2.755742890101295e-07,
        2.5112773335802253e-08, 2.086797041367287e-09,
    ),
}  # fmt: skip
# Beyond these exp is infinite, is zero; expm1 is -1; from the last on tanh is 1.
OVERFLOWS = {float32: 89.0, float64: 710.0}
VANISHES = {float32: -104.0, float64: -746.0}
MINUS_ONE = {float32: -18.0, float64: -38.0}
TANH_SATURATES = {float32: 9.5, float64: 19.5}

# tanh(x) = x + x^3 P(x^2): error 2^-28 for |x| < 0.8 in f32, 2^-55 for |x| < 0.65 in f64.
TANH_SMALL = {
    float32: (-0.333333, 0.13332246, -0.05385408, 0.021308351, -0.0074170586, 0.0015886778),
    float64: (
        -0.3333333333333226, 0.13333333333186767, -0.053968253898151734, 0.021869486855784888,
        -0.008863212018488895, 0.003591920029728348, -0.0014546195030992201, 0.0005852519898135439,
        -0.00022649899074747074, 7.488750775812754e-05, -1.50103893924223e-05,
    ),
}  # fmt: skip
TANH_SPLIT = {float32: 0.8, float64: 0.65}

# f32: erf(x) = x + x P(x^2) for |x| < 0.93 (2^-29), 1 - exp(-x Q(x)) up to 4 (2^-28 of erf; the form is
# N. Juffa's). f64: as in symgraph/special.py.
ERF_SMALL_F32 = (
    0.12837917, -0.37612632, 0.11283677, -0.026858592, 0.005199314, -0.0008125135, 8.3012026e-05,
)  # fmt: skip
ERF_EXPONENT_F32 = (1.1285328, 0.6356522, 0.105354525, -0.022953223, 0.003235963, -0.00021669846)
ERF_SPLIT_F32, ERF_SATURATES_F32 = 0.93, 4.0


def exp(x: Expr) -> Expr:
    return exp_of_sum(at_least(at_most(x, OVERFLOWS[x.dtype]), VANISHES[x.dtype]))


def exp_of_sum(x: Expr, correction: Expr | None = None) -> Expr:
    """exp(x + correction) for x between VANISHES and OVERFLOWS and a correction below an ULP of x.

    2^n is the product of two halves, which reaches infinity and subnormals with one rounding.
    """
    form = FORMATS[x.dtype]
    rest, shifted = _reduce(x, 2 * form.bias)
    total = bits(shifted)
    half = total >> 1
    first = from_bits(half << form.fraction)
    second = from_bits((total - half) << form.fraction)
    return _exp_reduced(rest if correction is None else rest + correction) * first * second


def expm1(x: Expr) -> Expr:
    """2^n exp(r) - 1 = 2 (2^(n-1) (exp(r) - 1) + (2^(n-1) - 1/2)), where the last part is exact."""
    form = FORMATS[x.dtype]
    limited = at_least(at_most(x, OVERFLOWS[x.dtype]), MINUS_ONE[x.dtype])
    shifted = fma(limited, LOG2_E, form.rounder + form.bias - 1)
    count = shifted - (form.rounder + form.bias - 1)
    high = fma(count, -LN2_HIGH[x.dtype], limited)
    low = count * LN2_LOW[x.dtype]
    rest = high - low
    # What rounding `rest` lost, put back where 1 + rest cannot hide it.
    lost = (high - rest) - low
    part = rest + fma(rest * rest, polynomial(EXP[x.dtype], rest), lost)
    half_scale = from_bits(bits(shifted) << form.fraction)
    result = fma(part, half_scale, half_scale - 0.5) * 2.0
    # x itself where x^2/2 is below half an ULP: keeps -0 and subnormals.
    return select(magnitude(x) < 2.0 ** -(form.fraction + 2), x, result)


def sigmoid(x: Expr) -> Expr:
    """With d = exp(-|x|) and t = d / (1 + d): 1 - t, or d - d t where x < 0.

    The latter is t too, but free of the rounding of 1 + d where d is small.
    """
    decay = exp_of_sum(at_least(-magnitude(x), VANISHES[x.dtype]))
    base = select(x < 0.0, decay, 1.0)
    return fma(-base, decay / (decay + 1.0), base)


def tanh(x: Expr) -> Expr:
    """An odd polynomial for small |x|, else 1 - 2 / (exp(2|x|) + 1)."""
    size = magnitude(x)
    growth = _moderate_exp(at_most(size, TANH_SATURATES[x.dtype]) * 2.0)
    large = 1.0 - 2.0 / (growth + 1.0)
    square = x * x
    small = fma(size * square, polynomial(TANH_SMALL[x.dtype], square), size)
    return with_sign_of(select(size < TANH_SPLIT[x.dtype], small, large), x)


def erf(x: Expr) -> Expr:
    size = magnitude(x)
    single = x.dtype == float32
    limited = at_most(size, ERF_SATURATES_F32 if single else ERF_SATURATES)
    square = limited * limited
    small = fma(limited, polynomial(ERF_SMALL_F32 if single else ERF_SMALL, square), limited)
    large = 1.0 - (_erfc_f32(limited) if single else _erfc_f64(limited, square))
    return with_sign_of(select(size < (ERF_SPLIT_F32 if single else 1.0), small, large), x)


def _erfc_f32(x: Expr) -> Expr:
    return _moderate_exp(-(x * polynomial(ERF_EXPONENT_F32, x)))


def _erfc_f64(x: Expr, square: Expr) -> Expr:
    return _moderate_exp(-square) * (polynomial(ERF_TAIL_P, x) / polynomial(ERF_TAIL_Q, x))


def _reduce(x: Expr, offset: int) -> tuple[Expr, Expr]:
    """r, and a float whose low bits hold n + offset."""
    rounder = FORMATS[x.dtype].rounder + offset
    shifted = fma(x, LOG2_E, rounder)
    count = shifted - rounder
    return fma(count, -LN2_LOW[x.dtype], fma(count, -LN2_HIGH[x.dtype], x)), shifted


def _exp_reduced(rest: Expr) -> Expr:
    return fma(fma(polynomial(EXP[rest.dtype], rest), rest, 1.0), rest, 1.0)


def _moderate_exp(x: Expr) -> Expr:
    """exp where 2^n is a normal float."""
    form = FORMATS[x.dtype]
    rest, shifted = _reduce(x, form.bias)
    return _exp_reduced(rest) * from_bits(bits(shifted) << form.fraction)
