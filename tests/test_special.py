"""erf and expit against extended precision, at their ends, and without warnings."""

import math

import numpy as np
import pytest

from symgraph.special import erf, expit

RNG = np.random.default_rng(0)
SAMPLES = np.concatenate([
    RNG.uniform(-6.5, 6.5, 20_000),
    RNG.uniform(-1.1, 1.1, 20_000),
    np.copysign(10.0 ** RNG.uniform(-320, 3, 5_000), RNG.uniform(-1, 1, 5_000)),
])
ENDS = np.array([0.0, -0.0, 5e-324, -5e-324, 6.0, 1e308, -1e308, np.inf, -np.inf, np.nan])


def ulps(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.max(np.abs(got.astype(np.float64) - want) / np.spacing(np.abs(want.astype(got.dtype)))))


def same(got: np.ndarray, want: np.ndarray) -> bool:
    """Equal, NaNs too, and zeros of one sign."""
    return np.array_equal(got, want, equal_nan=True) and np.array_equal(
        np.signbit(got)[~np.isnan(want)], np.signbit(want)[~np.isnan(want)]
    )


def test_erf_agrees_with_the_c_library_to_an_ulp():
    assert ulps(erf(SAMPLES), np.array([math.erf(x) for x in SAMPLES])) <= 2.0


def test_erf_of_float32_is_rounded_once():
    x = SAMPLES.astype(np.float32)
    got = erf(x)
    assert got.dtype == np.float32
    assert ulps(got, np.array([math.erf(v) for v in x.tolist()])) <= 0.5001


def test_expit_agrees_with_extended_precision():
    x = RNG.uniform(-700, 700, 20_000)
    wide = x.astype(np.longdouble)
    want = np.where(wide < 0, np.exp(wide), 1) / (1 + np.exp(-np.abs(wide)))
    assert ulps(expit(x), want.astype(np.float64)) <= 2.5
    assert ulps(expit(x[np.abs(x) < 80].astype(np.float32)), _expit64(x[np.abs(x) < 80])) <= 0.5001


def _expit64(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float32).astype(np.float64)
    return np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends(dtype):
    with np.errstate(over="ignore", under="ignore"):
        x = ENDS.astype(dtype)
    one, zero = dtype(1), dtype(0)
    tiny = x[2] + x[2] * dtype(0.1283791670955126)
    assert same(erf(x), np.array([zero, -zero, tiny, -tiny, one, one, -one, one, -one, np.nan], dtype))
    assert same(
        expit(x[[0, 1, 2, 3, 5, 6, 7, 8, 9]]), np.array([0.5, 0.5, 0.5, 0.5, 1, 0, 1, 0, np.nan], dtype)
    )


@pytest.mark.parametrize("function", [erf, expit])
def test_shape_and_dtype(function):
    with np.errstate(all="raise"):
        assert function(np.zeros((2, 0, 3), np.float32)).shape == (2, 0, 3)
        assert function(np.ones((2, 3), np.int64)).dtype == np.float64
        assert np.ndim(function(0.25)) == 0
        function(np.array([-1e30, 1e-310, 1e30]))
