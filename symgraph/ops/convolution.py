"""Convolutions: channels last, without padding, over one to three spatial axes; and their gradients.

Padding is a pad before, a transposed convolution a convolution of elements set apart, NCHW a permutation
around: `symgraph/ops/spatial.py` makes PyTorch's forms of these two ops.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from symgraph.dimension import Extent, divide, floor_divide, is_positive, product
from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.function import Function, lift_like, require
from symgraph.ops.layout import flip, padded, permute_dims, reshape
from symgraph.types import FLOATS, TensorType
from symgraph.value import Value, apply, promote

Sizes = tuple[int, ...]


def window_count(name: str, extent: Extent, size: int, stride: int, dilation: int) -> Extent:
    """How many windows of `size` elements, `dilation` apart, fit into an axis, one every `stride`.

    ShapeError if none fits, or if the number is no polynomial in the named dimensions.
    """
    reach = (size - 1) * dilation + 1
    steps = floor_divide(extent - reach, stride)
    if steps is None:
        raise ShapeError(
            f"{name}: a stride of {stride} over an axis of {extent} has no size that is known as a formula; "
            f"give the axis a number, or a size that {stride} divides"
        )
    if isinstance(steps, int) and steps < 0:
        raise ShapeError(f"{name}: a window reaches over {reach} elements, the axis has {extent}")
    return steps + 1


def _infer_convolution(
    x: TensorType, w: TensorType, *, stride: Sizes, dilation: Sizes, groups: int
) -> TensorType:
    size = _static("convolution", w.shape[:-2])
    _check("convolution", x, w, len(size), stride, dilation)
    _check_channels("convolution", x.shape[-1], w.shape[-2], w.shape[-1], groups)
    outer = _output("convolution", x, size, stride, dilation)
    return TensorType((x.shape[0], *outer, w.shape[-1]), x.dtype)


def _infer_weight(
    x: TensorType, g: TensorType, *, stride: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> TensorType:
    _check("convolution_weight", x, g, len(size), stride, dilation)
    outer = _output("convolution_weight", x, size, stride, dilation)
    if g.shape[:-1] != (x.shape[0], *outer):
        expected = ", ".join(map(str, (x.shape[0], *outer, "channels")))
        raise ShapeError(f"convolution_weight: expected the gradient of [{expected}], got {g}")
    channels = divide(x.shape[-1], groups) if groups >= 1 else None
    _check_channels("convolution_weight", x.shape[-1], channels, g.shape[-1], groups)
    assert channels is not None
    return TensorType((*size, channels, g.shape[-1]), x.dtype)


def _static(name: str, size: tuple[Extent, ...]) -> Sizes:
    if not all(isinstance(e, int) and e >= 1 for e in size):
        raise ShapeError(f"{name}: the window's extents are numbers from 1, not {list(size)}")
    return tuple(e for e in size if isinstance(e, int))


def _check(name: str, x: TensorType, other: TensorType, spatial: int, stride: Sizes, dilation: Sizes) -> None:
    require(name, x.dtype, FLOATS)
    if other.dtype != x.dtype:
        raise ShapeError(f"{name}: operands differ in dtype, {x} with {other}")
    if not 1 <= spatial <= 3 or x.rank != spatial + 2 or other.rank != spatial + 2:
        raise ShapeError(f"{name}: one to three spatial axes on both sides, got {x} with {other}")
    for what, steps in (("stride", stride), ("dilation", dilation)):
        if len(steps) != spatial or not all(isinstance(s, int) and s >= 1 for s in steps):
            raise ShapeError(f"{name}: {what} is {spatial} ints from 1, not {steps}")


def _check_channels(name: str, whole: Extent, each: Extent | None, out: Extent, groups: int) -> None:
    if groups < 1 or each is None or whole != each * groups:
        raise ShapeError(f"{name}: {whole} channels are not {groups} groups of the weight's {each}")
    if divide(out, groups) is None:
        raise ShapeError(f"{name}: {out} channels out do not divide into {groups} groups")
    if not (is_positive(whole) and is_positive(out)):
        raise ShapeError(f"{name}: at least one channel is needed, got {whole} in and {out} out")


def _output(name: str, x: TensorType, size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Extent, ...]:
    axes = zip(x.shape[1:-1], size, stride, dilation, strict=True)
    return tuple(window_count(name, *axis) for axis in axes)


def windows_of(x: np.ndarray, size: Sizes, stride: Sizes, dilation: Sizes) -> np.ndarray:
    """A view of x[N, *S, C] as [N, *O, *K, C]: every window's elements."""
    spatial = range(1, x.ndim - 1)
    counts = tuple(
        int(window_count("convolution", x.shape[a], k, s, d))
        for a, k, s, d in zip(spatial, size, stride, dilation, strict=True)
    )
    steps = [x.strides[a] for a in spatial]
    apart = [step * s for step, s in zip(steps, stride, strict=True)]
    inside = [step * d for step, d in zip(steps, dilation, strict=True)]
    return np.lib.stride_tricks.as_strided(
        x,
        (x.shape[0], *counts, *size, x.shape[-1]),
        (x.strides[0], *apart, *inside, x.strides[-1]),
        writeable=False,
    )


def _columns(x: np.ndarray, size: Sizes, stride: Sizes, dilation: Sizes, groups: int) -> np.ndarray:
    """Windows as the rows of a matrix for each group: [groups, N * O, K * C/groups]."""
    windows = windows_of(x, size, stride, dilation)
    rows = prod(windows.shape[: x.ndim - 1])
    each = x.shape[-1] // groups
    grouped = windows.reshape(rows, prod(size), groups, each)
    return grouped.transpose(2, 0, 1, 3).reshape(groups, rows, prod(size) * each)


def _evaluate_convolution(
    x: np.ndarray, w: np.ndarray, *, stride: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    size, (each, out) = w.shape[:-2], w.shape[-2:]
    columns = _columns(x, size, stride, dilation, groups)
    matrices = w.reshape(prod(size) * each, groups, out // groups).transpose(1, 0, 2)
    result = np.matmul(columns, matrices).transpose(1, 0, 2)
    axes = zip(x.shape[1:-1], size, stride, dilation, strict=True)
    outer = (int(window_count("convolution", *axis)) for axis in axes)
    return result.reshape(x.shape[0], *outer, out)


def _evaluate_weight(
    x: np.ndarray, g: np.ndarray, *, stride: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> np.ndarray:
    columns = _columns(x, size, stride, dilation, groups)
    out = g.shape[-1]
    gradients = g.reshape(-1, groups, out // groups).transpose(1, 0, 2)
    result = np.matmul(columns.transpose(0, 2, 1), gradients)
    return result.transpose(1, 0, 2).reshape(*size, x.shape[-1] // groups, out)


CONVOLUTION = Op("convolution", Kind.CONTRACTION, _infer_convolution, _evaluate_convolution)
CONVOLUTION_WEIGHT = Op("convolution_weight", Kind.CONTRACTION, _infer_weight, _evaluate_weight)


def _call_convolution(
    x: Any, w: Any, *, stride: Sizes | None = None, dilation: Sizes | None = None, groups: int = 1
) -> Value:
    """y[n, o, co] = sum over k, c of x[n, o * stride + k * dilation, first(co) + c] * w[k, c, co].

    x is [N, *S, C], w [*K, C / groups, Co], the result [N, *O, Co]. Channel co sees the C / groups
    channels of its group: first(co) = (co // (Co / groups)) * (C / groups).
    """
    left, right = (lift_like(v, (x, w)) for v in promote("convolution", (x, w)))
    ones = (1,) * (right.ndim - 2)
    return apply(
        CONVOLUTION, (left, right), stride=stride or ones, dilation=dilation or ones, groups=groups
    )


convolution = Function(CONVOLUTION, _call_convolution, _call_convolution)


def _call_weight(
    x: Any,
    g: Any,
    *,
    size: Sizes,
    stride: Sizes | None = None,
    dilation: Sizes | None = None,
    groups: int = 1,
) -> Value:
    """w[k, c, co] = sum over n, o of x[n, o * stride + k * dilation, first(co) + c] * g[n, o, co].

    The gradient of a convolution's weights: x is [N, *S, C], g [N, *O, Co], the result
    [*size, C / groups, Co].
    """
    left, right = (lift_like(v, (x, g)) for v in promote("convolution_weight", (x, g)))
    ones = (1,) * len(size)
    attrs: dict[str, Any] = {"stride": stride or ones, "dilation": dilation or ones}
    return apply(CONVOLUTION_WEIGHT, (left, right), **attrs, groups=groups, size=tuple(size))


convolution_weight = Function(CONVOLUTION_WEIGHT, _call_weight, _call_weight)


def spread_windows(
    g: Any, w: Any, shape: tuple[Extent, ...], stride: Sizes, dilation: Sizes, groups: int
) -> Any:
    """The adjoint of a convolution in x, of `shape`: every gradient handed back to the window it came from.

    It is the convolution of g, its elements `stride` apart among zeros, with the flipped w whose channels
    are exchanged. Elements that no window reached get zero.
    """
    size = w.shape[:-2]
    widths: list[Any] = [(0, 0, 0)]
    for extent, count, k, s, d in zip(shape[1:-1], g.shape[1:-1], size, stride, dilation, strict=True):
        border = (k - 1) * d
        widths.append((border, extent - ((count - 1) * s + 1), s - 1))
    apart = padded(g, (*widths, (0, 0, 0)))
    return convolution(apart, exchanged(w, groups), dilation=dilation, groups=groups)


def exchanged(w: Any, groups: int) -> Any:
    """w[*K, C / groups, Co] backwards along K, as [*K, Co / groups, C]."""
    size, (each, out) = w.shape[:-2], w.shape[-2:]
    spatial = len(size)
    parts = reshape(flip(w, tuple(range(spatial))), (*size, each, groups, out // groups))
    order = (*range(spatial), spatial + 2, spatial + 1, spatial)
    return reshape(permute_dims(parts, order), (*size, out // groups, product((each, groups))))


@convolution.vjp
def convolution_vjp(x: Any, w: Any, out: Any, g: Any, *, stride: Sizes, dilation: Sizes, groups: int) -> Any:
    to_x = spread_windows(g, w, x.shape, stride, dilation, groups)
    to_w = convolution_weight(x, g, size=w.shape[:-2], stride=stride, dilation=dilation, groups=groups)
    return to_x, to_w


@convolution_weight.vjp
def convolution_weight_vjp(
    x: Any, g: Any, out: Any, h: Any, *, stride: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> Any:
    to_x = spread_windows(g, h, x.shape, stride, dilation, groups)
    return to_x, convolution(x, h, stride=stride, dilation=dilation, groups=groups)
