"""Functions numpy lacks, to float64 accuracy, without warnings.

float32 arrays are computed in float64 and rounded once; other numbers become float64.
"""

from __future__ import annotations

import numpy as np

# erf(x) = x + x * P(x^2) for |x| < 1: least squares in P at Chebyshev nodes, error below 2^-56.
ERF_SMALL = (
    0.1283791670955126, -0.37612638903183876, 0.11283791670958783, -0.026866170645631897,
    0.00522397762924565, -0.0008548327199358272, 0.00012055338161400656, -1.4925748180206354e-05,
    1.6463247307130268e-06, -1.6372371891698225e-07, 1.4798357234369911e-08, -1.1876555591839105e-09,
    6.762801638832501e-11,
)  # fmt: skip
# erf(x) = 1 - exp(-x^2) P(x) / Q(x) for 1 <= x <= 6: a rational fit of exp(x^2) erfc(x), weighted by
# exp(-x^2), error of erf below 2^-59. Coefficients of one sign, so neither sum cancels.
ERF_TAIL_P = (
    0.9999998891824032, 1.3900706328015127, 0.9488913687409833, 0.37322369290900026,
    0.08422933575600117, 0.008912372934480077,
)  # fmt: skip
ERF_TAIL_Q = (
    1.0, 2.518448630719408, 2.790662218952234, 1.7559340959454983, 0.6694800011979507,
    0.14928867954836267, 0.015796893142934337,
)  # fmt: skip
ERF_SATURATES = 6.0  # from here on erf is 1 in float64


def erf(x: np.ndarray) -> np.ndarray:
    """2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, elementwise, within 1.2 ULP of float64."""
    x = np.asarray(x)
    size = np.minimum(np.abs(x.astype(np.float64)), ERF_SATURATES)
    with np.errstate(under="ignore"):
        square = size * size
        small = size + size * _polynomial(ERF_SMALL, square)
        tail = 1.0 - np.exp(-square) * _polynomial(ERF_TAIL_P, size) / _polynomial(ERF_TAIL_Q, size)
        return np.copysign(np.where(size < 1.0, small, tail), x).astype(_result_dtype(x))[()]


def expit(x: np.ndarray) -> np.ndarray:
    """The logistic function 1 / (1 + exp(-x)), elementwise; exp is only taken of -|x|."""
    x = np.asarray(x)
    with np.errstate(under="ignore"):
        decay = np.exp(-np.abs(x.astype(np.float64)))
        return (np.where(x < 0, decay, 1.0) / (1.0 + decay)).astype(_result_dtype(x))[()]


def _result_dtype(x: np.ndarray) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """coefficients[i] * x^i, summed by Horner's rule."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total
