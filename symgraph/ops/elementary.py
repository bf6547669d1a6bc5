"""Powers, roots, exponentials, logarithms, trigonometry and the error function, elementwise."""

from __future__ import annotations

from typing import Any

from symgraph.ops.elementwise import elementwise
from symgraph.ops.logic import where


@elementwise()
def pow(k: Any, x: Any, y: Any) -> Any:
    """x to the power y. For a constant whole number use `x ** n`, which multiplies."""
    return k.pow(x, y)


@pow.vjp
def pow_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    # d/dy = x^y log x; where x is 0 the limit 0 is taken, as PyTorch does.
    safe = where(x == 0.0, 1.0, x)
    return g * where(y == 0.0, 0.0, y * pow(x, y - 1.0)), g * where(x == 0.0, 0.0, out * log(safe))


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
