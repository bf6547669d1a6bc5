"""Softmax and its relatives, and standardization: what every normalization is made of."""

from __future__ import annotations

from typing import Any

from symgraph.errors import ShapeError
from symgraph.op import Infer
from symgraph.ops.arithmetic import square
from symgraph.ops.composite import composite
from symgraph.ops.elementary import exp, log, rsqrt
from symgraph.ops.function import lift_like, require, telling_where
from symgraph.ops.layout import expand_dims, normal_axis, reshape
from symgraph.ops.logic import isfinite, where
from symgraph.ops.reduce import Axis, back, max_, mean, normal_axes, sum_
from symgraph.types import FLOATS, TensorType
from symgraph.value import Value


def _same_as(name: str) -> Infer:
    """The operand's type; floats only."""

    def infer(x: TensorType, **_: Any) -> TensorType:
        require(name, x.dtype, FLOATS)
        return x

    return infer


@composite("softmax", _same_as("softmax"))
def softmax_along(x: Any, *, axis: int) -> Any:
    """exp(x - max) / sum(exp(x - max)) along one axis, by one division a row: sums are 1 or more."""
    e = exp(x - back(max_(x, axis), x, (axis,)))
    return e * back(1.0 / sum_(e, axis), x, (axis,))


@softmax_along.vjp
def softmax_vjp(x: Any, out: Any, g: Any, *, axis: int) -> Any:
    inner = g * out
    return inner - out * back(sum_(inner, axis), x, (axis,))


@composite("log_softmax", _same_as("log_softmax"))
def log_softmax_along(x: Any, *, axis: int) -> Any:
    """x - max - log(sum(exp(x - max))) along one axis."""
    shifted = x - back(max_(x, axis), x, (axis,))
    return shifted - back(log(sum_(exp(shifted), axis)), x, (axis,))


@log_softmax_along.vjp
def log_softmax_vjp(x: Any, out: Any, g: Any, *, axis: int) -> Any:
    return g - exp(out) * back(sum_(g, axis), x, (axis,))


def _reduced(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    require("logsumexp", x.dtype, FLOATS)
    return TensorType(tuple(e for i, e in enumerate(x.shape) if i not in axes), x.dtype)


@composite("logsumexp", _reduced)
def logsumexp_over(x: Any, *, axes: tuple[int, ...]) -> Any:
    """log(sum(exp(x))) over axes, without overflow; infinities pass through."""
    largest = max_(x, axes)
    pivot = where(isfinite(largest), largest, 0.0)
    return log(sum_(exp(x - back(pivot, x, axes)), axes)) + pivot


@logsumexp_over.vjp
def logsumexp_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    return back(g, x, axes) * exp(x - back(out, x, axes))


@telling_where
def softmax(x: Any, axis: int = -1) -> Value:
    """exp(x) along an axis, scaled to sum to 1; without overflow."""
    value = lift_like(x, (x,))
    return softmax_along(value, axis=normal_axis("softmax", axis, value.ndim))


@telling_where
def log_softmax(x: Any, axis: int = -1) -> Value:
    """log(softmax(x)), accurate where softmax underflows."""
    value = lift_like(x, (x,))
    return log_softmax_along(value, axis=normal_axis("log_softmax", axis, value.ndim))


@telling_where
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) over axes, without overflow."""
    value = lift_like(x, (x,))
    axes = normal_axes("logsumexp", axis, value.ndim)
    result = logsumexp_over(value, axes=axes) if axes else value
    return expand_dims(result, axes) if keepdims and axes else result


@composite("standardize", _same_as("normalization"))
def standardize_over(x: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """(x - mean) / sqrt(var + eps) over axes; the biased variance."""
    centered = x - back(mean(x, axes), x, axes)
    return centered * back(rsqrt(mean(square(centered), axes) + eps), x, axes)


@standardize_over.vjp
def standardize_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """Ioffe and Szegedy 2015, section 3, in closed form: both reductions and dx from x_hat and 1/std."""
    centered = x - back(mean(x, axes), x, axes)
    scale = rsqrt(mean(square(centered), axes) + eps)
    along = back(mean(g * out, axes), x, axes)
    return back(scale, x, axes) * (g - back(mean(g, axes), x, axes) - out * along)


@telling_where
def standardize(x: Any, axes: Axis, eps: float = 1e-5) -> Value:
    """x with mean 0 and variance 1 over axes (variance plus eps); nothing is learnt."""
    value = lift_like(x, (x,))
    return standardize_over(value, axes=normal_axes("standardize", axes, value.ndim), eps=float(eps))


@telling_where
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-5, axes: Axis = -1) -> Value:
    """x / sqrt(mean(x^2) + eps) over axes, times weight (Zhang and Sennrich 2019)."""
    value = lift_like(x, (x,))
    places = normal_axes("rms_norm", axes, value.ndim)
    scaled = value * back(rsqrt(mean(square(value), places) + eps), value, places)
    return scaled if weight is None else scaled * weight


@telling_where
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, axes: Axis = -1) -> Value:
    """x standardized over its last axis (or `axes`), times weight plus bias (Ba et al. 2016).

    weight and bias have the shape of the normalized axes.
    """
    return _affine(standardize(x, axes, eps), weight, bias)


@telling_where
def batch_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """x standardized over all axes but 1 (its channels), times weight plus bias of shape (channels,)."""
    value = lift_like(x, (x,))
    if value.ndim < 2:
        raise ShapeError(f"batch_norm: expected (batch, channels, ...), got {value.type}")
    axes = tuple(i for i in range(value.ndim) if i != 1)
    return _affine(standardize(value, axes, eps), per_channel(weight, value), per_channel(bias, value))


def per_channel(parameter: Any, x: Value) -> Any:
    """A (channels,) value shaped to meet x along axis 1."""
    if parameter is None or x.ndim == 2:
        return parameter
    return reshape(lift_like(parameter, (x, parameter)), (-1, *([1] * (x.ndim - 2))))


@telling_where
def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """x standardized over each of `groups` groups of channels and all later axes (Wu and He 2018)."""
    value = lift_like(x, (x,))
    if value.ndim < 2 or not isinstance(value.shape[1], int) or value.shape[1] % groups:
        raise ShapeError(f"group_norm: axis 1 of {value.type} does not divide into {groups} groups")
    split = reshape(value, (value.shape[0], groups, value.shape[1] // groups, *value.shape[2:]))
    normal = standardize(split, tuple(range(2, split.ndim)), eps)
    return _affine(reshape(normal, value.shape), per_channel(weight, value), per_channel(bias, value))


@telling_where
def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """x standardized over all axes behind the channels (Ulyanov et al. 2016)."""
    value = lift_like(x, (x,))
    if value.ndim < 3:
        raise ShapeError(f"instance_norm: expected (batch, channels, length, ...), got {value.type}")
    normal = standardize(value, tuple(range(2, value.ndim)), eps)
    return _affine(normal, per_channel(weight, value), per_channel(bias, value))


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias
