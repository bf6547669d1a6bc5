"""PyTorch's convolutions, channels first, made of the channels-last op.

A permutation to channels last, a pad, the op, and back; compiler/passes/channels_last.py moves the
permutations through what stands between until they meet.
"""

from __future__ import annotations

from typing import Any

from symgraph.dimension import Extent
from symgraph.errors import ShapeError
from symgraph.ops.convolution import Sizes, convolution, exchanged
from symgraph.ops.function import lift_like, telling_where
from symgraph.ops.layout import expand_dims, padded, permute_dims, static_slice
from symgraph.value import Value, promote

Setting = int | tuple[int, ...]
Borders = tuple[tuple[int, int], ...]


def each_axis(name: str, what: str, given: Any, rank: int, least: int) -> Sizes:
    """One int for each spatial axis, from one for all or one for each."""
    values = tuple(given) if isinstance(given, list | tuple) else (given,) * rank
    fits = len(values) == rank and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if not fits or any(v < least for v in values):
        raise ShapeError(f"{name}: {what} is an int from {least} or {rank} of them, not {given!r}")
    return values


def channels_last(x: Value) -> Value:
    """[N, C, *S] as [N, *S, C]."""
    return permute_dims(x, (0, *range(2, x.ndim), 1))


def channels_first(x: Value) -> Value:
    """[N, *S, C] as [N, C, *S]."""
    return permute_dims(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def bordered(x: Value, borders: Any, value: float = 0.0, between: Sizes | None = None) -> Value:
    """[N, *S, C] with (before, after) elements along each spatial axis, cut off where they are negative,
    and `between` elements between any two."""
    gaps = between or (0,) * len(borders)
    widths = tuple((max(b, 0), max(a, 0), gap) for (b, a), gap in zip(borders, gaps, strict=True))
    grown = padded(x, ((0, 0, 0), *widths, (0, 0, 0)), value)
    cuts = [(0, 0), *((max(-b, 0), max(-a, 0)) for b, a in borders), (0, 0)]
    return static_slice(grown, tuple((b, e - a, 1) for (b, a), e in zip(cuts, grown.shape, strict=True)))


# --- convolution --------------------------------------------------------------------------------


def _operands(name: str, rank: int, x: Any, weight: Any) -> tuple[Value, Value]:
    both = (x, weight)
    value, w = (lift_like(v, both) for v in promote(name, both))
    if value.ndim != rank + 2:
        axes = ", ".join(("batch", "channels", *("length", "height", "width")[rank == 2 :][:rank]))
        raise ShapeError(f"{name}: expected ({axes}), got {value.type}")
    if w.ndim != rank + 2 or not all(isinstance(e, int) and e >= 1 for e in w.shape):
        raise ShapeError(f"{name}: the weight has {rank + 2} axes of known size, got {w.type}")
    return value, w


def _check_input(name: str, x: Value, weight: Value, channels: Extent, groups: int) -> None:
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ShapeError(f"{name}: groups is an int from 1, not {groups!r}")
    if x.shape[1] != channels:
        raise ShapeError(
            f"{name}: the weight {weight.type} with groups={groups} wants {channels} channels, got {x.type}"
        )


def _with_bias(y: Value, bias: Any) -> Value:
    if bias is None:
        return y
    vector = lift_like(bias, (y, bias))
    if vector.shape != (y.shape[1],):
        raise ShapeError(f"bias: expected {y.shape[1]} numbers, one a channel, got {vector.type}")
    return y + expand_dims(vector, tuple(range(1, y.ndim - 1)))


def _borders(name: str, padding: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Borders:
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ShapeError(f"{name}: padding='same' needs stride 1, not {stride}")
        reaches = [(k - 1) * d for k, d in zip(size, dilation, strict=True)]
        return tuple((reach // 2, reach - reach // 2) for reach in reaches)
    return tuple((p, p) for p in each_axis(name, "padding", padding, len(size), 0))


def _convolve(
    name: str, rank: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Value:  # fmt: skip
    value, w = _operands(name, rank, x, weight)
    _check_input(name, value, w, w.shape[1] * groups, groups)
    steps = each_axis(name, "stride", stride, rank, 1)
    apart = each_axis(name, "dilation", dilation, rank, 1)
    size: Any = w.shape[2:]
    inside = bordered(channels_last(value), _borders(name, padding, size, steps, apart))
    matrix = permute_dims(w, (*range(2, rank + 2), 1, 0))
    made = convolution(inside, matrix, stride=steps, dilation=apart, groups=groups)
    return _with_bias(channels_first(made), bias)


@telling_where
def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
) -> Value:
    """Cross-correlation of x[N, C, L] with weight[Co, C / groups, K]; zero padding, or "same", "valid"."""
    return _convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@telling_where
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Setting = 1,
    padding: Setting | str = 0,
    dilation: Setting = 1,
    groups: int = 1,
) -> Value:
    """Cross-correlation of x[N, C, H, W] with weight[Co, C / groups, Kh, Kw]; padding as in conv1d.

    groups=C is a depthwise convolution.
    """
    return _convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def _convolve_transposed(
    name: str, rank: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    groups: int, dilation: Any,
) -> Value:  # fmt: skip
    value, w = _operands(name, rank, x, weight)
    _check_input(name, value, w, w.shape[0], groups)
    if isinstance(w.shape[0], int) and w.shape[0] % groups:
        raise ShapeError(f"{name}: {w.shape[0]} channels do not divide into {groups} groups")
    steps = each_axis(name, "stride", stride, rank, 1)
    apart = each_axis(name, "dilation", dilation, rank, 1)
    around = each_axis(name, "padding", padding, rank, 0)
    extra = each_axis(name, "output_padding", output_padding, rank, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, apart, strict=True)):
        raise ShapeError(f"{name}: output_padding {extra} is not smaller than stride {steps} or {apart}")
    size: Any = w.shape[2:]
    reaches = [(k - 1) * d for k, d in zip(size, apart, strict=True)]
    borders = [(r - p, r - p + e) for r, p, e in zip(reaches, around, extra, strict=True)]
    inside = bordered(channels_last(value), borders, between=tuple(s - 1 for s in steps))
    # As the weight of the convolution whose adjoint this is: [*K, Co / groups, C], its channels exchanged.
    matrix = exchanged(permute_dims(w, (*range(2, rank + 2), 1, 0)), groups)
    return _with_bias(channels_first(convolution(inside, matrix, dilation=apart, groups=groups)), bias)


@telling_where
def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> Value:
    """The adjoint of conv1d in its input: x[N, C, L], weight[C, Co / groups, K]."""
    return _convolve_transposed(
        "conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


@telling_where
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Setting = 1,
    padding: Setting = 0,
    output_padding: Setting = 0,
    groups: int = 1,
    dilation: Setting = 1,
) -> Value:
    """The adjoint of conv2d in its input: x[N, C, H, W], weight[C, Co / groups, Kh, Kw]."""
    return _convolve_transposed(
        "conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
