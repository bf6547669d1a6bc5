"""Activation functions, each one scalar formula."""

from __future__ import annotations

from typing import Any

from symgraph.ops.elementary import erf, exp, tanh
from symgraph.ops.elementwise import elementwise
from symgraph.ops.logic import where
from symgraph.value import Value

# Klambauer et al. 2017, "Self-Normalizing Neural Networks": the fixed point at mean 0, variance 1.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
SQRT_HALF = 0.7071067811865476
SQRT_TWO_OVER_PI = 0.7978845608028654
INVERSE_SQRT_TWO_PI = 0.3989422804014327


@elementwise()
def relu(k: Any, x: Any) -> Any:
    """max(x, 0); NaN stays NaN."""
    return k.where(x < 0, k.constant(0, x.dtype), x)


@relu.vjp
def relu_vjp(x: Any, out: Any, g: Any) -> Any:
    # The sign of the output decides, so that the input need not be kept.
    return where(out > 0.0, g, 0.0)


@elementwise()
def leaky_relu(k: Any, x: Any, *, negative_slope: float = 0.01) -> Any:
    """x above 0, negative_slope * x below."""
    return k.where(x < 0, x * negative_slope, x)


@leaky_relu.vjp
def leaky_relu_vjp(x: Any, out: Any, g: Any, *, negative_slope: float = 0.01) -> Any:
    return where(x > 0.0, g, g * negative_slope)


@elementwise()
def sigmoid(k: Any, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return k.sigmoid(x)


@sigmoid.vjp
def sigmoid_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * (out * (1.0 - out))


@elementwise()
def elu(k: Any, x: Any, *, alpha: float = 1.0) -> Any:
    """x above 0, alpha * (exp(x) - 1) below (Clevert et al. 2015)."""
    return k.where(x > 0, x, k.expm1(x) * alpha)


@elu.vjp
def elu_vjp(x: Any, out: Any, g: Any, *, alpha: float = 1.0) -> Any:
    return g * where(x > 0.0, 1.0, out + alpha)


@elementwise()
def selu(k: Any, x: Any) -> Any:
    """elu with the paper's alpha, times its scale: keeps mean 0 and variance 1."""
    return k.where(x > 0, x * SELU_SCALE, k.expm1(x) * (SELU_SCALE * SELU_ALPHA))


@selu.vjp
def selu_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * where(x > 0.0, SELU_SCALE, out + SELU_SCALE * SELU_ALPHA)


@elementwise()
def softplus(k: Any, x: Any) -> Any:
    """log(1 + exp(x)) without overflow."""
    return k.maximum(x, k.constant(0, x.dtype)) + k.log1p(k.exp(-k.abs(x)))


@softplus.vjp
def softplus_vjp(x: Any, out: Any, g: Any) -> Any:
    return g * sigmoid(x)


@elementwise()
def gelu_erf(k: Any, x: Any) -> Any:
    """x * Phi(x) with the normal distribution's exact Phi (Hendrycks and Gimpel 2016)."""
    return (x * 0.5) * (k.erf(x * SQRT_HALF) + 1.0)


@gelu_erf.vjp
def gelu_erf_vjp(x: Any, out: Any, g: Any) -> Any:
    phi = 0.5 * (1.0 + erf(x * SQRT_HALF))
    return g * (phi + x * (INVERSE_SQRT_TWO_PI * exp(-0.5 * x * x)))


@elementwise()
def gelu_tanh(k: Any, x: Any) -> Any:
    """The paper's approximation of gelu by tanh."""
    return (x * 0.5) * (k.tanh((x + x * x * x * 0.044715) * SQRT_TWO_OVER_PI) + 1.0)


@gelu_tanh.vjp
def gelu_tanh_vjp(x: Any, out: Any, g: Any) -> Any:
    t = tanh(SQRT_TWO_OVER_PI * (x + 0.044715 * x * x * x))
    slope = SQRT_TWO_OVER_PI * (1.0 + 0.134145 * x * x)
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)


def gelu(x: Any, approximate: str = "none") -> Value:
    """x * Phi(x); approximate="tanh" takes the paper's cheaper formula."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return gelu_tanh(x) if approximate == "tanh" else gelu_erf(x)


@elementwise()
def silu(k: Any, x: Any) -> Any:
    """x * sigmoid(x), also called swish."""
    return x * k.sigmoid(x)


@silu.vjp
def silu_vjp(x: Any, out: Any, g: Any) -> Any:
    s = sigmoid(x)
    return g * (s + out * (1.0 - s))
