"""PyTorch's poolings, channels first, made of the channels-last ops of one window."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from symgraph.dimension import Extent, at_least, floor_divide
from symgraph.errors import ShapeError
from symgraph.ops.arithmetic import divide
from symgraph.ops.convolution import Sizes
from symgraph.ops.function import lift_like, require, telling_where
from symgraph.ops.layout import broadcast_to, permute_dims
from symgraph.ops.linear import matmul
from symgraph.ops.reduce import max_, mean
from symgraph.ops.spatial import Setting, bordered, channels_first, channels_last, each_axis
from symgraph.ops.window import window_max, window_sum
from symgraph.types import FLOATS
from symgraph.value import Value

# A larger window is taken one axis at a time: fewer elements to look at, for one more pass over memory.
MOST_TAPS = 16
LOWEST = float("-inf")
Pool = Callable[[Any, Sizes, Sizes], Value]


def _settings(name: str, rank: int, x: Any, size: Any, stride: Any, padding: Any) -> tuple[Any, ...]:
    value = lift_like(x, (x,))
    require(name, value.dtype, FLOATS)
    if value.ndim != rank + 2:
        raise ShapeError(f"{name}: expected {rank + 2} axes (batch, channels, ...), got {value.type}")
    window = each_axis(name, "size", size, rank, 1)
    steps = window if stride is None else each_axis(name, "stride", stride, rank, 1)
    around = each_axis(name, "padding", padding, rank, 0)
    if any(2 * p > k for p, k in zip(around, window, strict=True)):
        raise ShapeError(f"{name}: padding {around} is more than half of the window {window}")
    return value, window, steps, around


def _ends(name: str, extents: Any, size: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool) -> Sizes:
    """How far padding goes on behind each axis. With ceil_mode so far that a last, incomplete window fits,
    provided that it starts inside the axis or the padding before it."""
    ends = []
    for extent, k, s, p in zip(extents, size, stride, padding, strict=True):
        end = p
        if ceil_mode:
            rest = _remainder(name, extent + 2 * p - k, s)
            steps = floor_divide(extent + 2 * p - k, s)
            assert steps is not None
            if rest and not at_least((steps + 1) * s, extent + p):
                end += s - rest
        ends.append(end)
    return tuple(ends)


def _remainder(name: str, extent: Extent, step: int) -> int:
    whole = floor_divide(extent, step)
    rest = None if whole is None else extent - whole * step
    if not isinstance(rest, int):
        raise ShapeError(f"{name}: ceil_mode with stride {step} needs an axis of known size")
    return rest


def _over_windows(pool: Pool, x: Any, size: Sizes, stride: Sizes) -> Value:
    """The pool of a window, or of its axes one after the other, the last first; which wins is the same."""
    if prod(size) <= MOST_TAPS:
        return pool(x, size, stride)
    for axis in reversed(range(len(size))):
        width = tuple(k if i == axis else 1 for i, k in enumerate(size))
        steps = tuple(s if i == axis else 1 for i, s in enumerate(stride))
        if (width, steps) != ((1,) * len(size), (1,) * len(size)):
            x = pool(x, width, steps)
    return x


def _max_pool(name: str, rank: int, x: Any, size: Any, stride: Any, padding: Any, ceil_mode: bool) -> Value:
    value, window, steps, around = _settings(name, rank, x, size, stride, padding)
    ends = _ends(name, value.shape[2:], window, steps, around, ceil_mode)
    inside = bordered(channels_last(value), tuple(zip(around, ends, strict=True)), LOWEST)
    return channels_first(_over_windows(window_max, inside, window, steps))


@telling_where
def max_pool1d(
    x: Any, size: Setting, stride: Setting | None = None, padding: Setting = 0, ceil_mode: bool = False
) -> Value:
    """The largest of each window of x[N, C, L]; NaN where one is. The first of equal ones gets the gradient.

    stride=None is the window's size. Padding never wins. ceil_mode keeps a last window that sticks out.
    """
    return _max_pool("max_pool1d", 1, x, size, stride, padding, ceil_mode)


@telling_where
def max_pool2d(
    x: Any, size: Setting, stride: Setting | None = None, padding: Setting = 0, ceil_mode: bool = False
) -> Value:
    """The largest of each window of x[N, C, H, W]; as max_pool1d."""
    return _max_pool("max_pool2d", 2, x, size, stride, padding, ceil_mode)


def _avg_pool(
    name: str, rank: int, x: Any, size: Any, stride: Any, padding: Any, ceil_mode: bool, whole: bool
) -> Value:
    value, window, steps, around = _settings(name, rank, x, size, stride, padding)
    ends = _ends(name, value.shape[2:], window, steps, around, ceil_mode)
    inside = bordered(channels_last(value), tuple(zip(around, ends, strict=True)))
    total = _over_windows(window_sum, inside, window, steps)
    if ends == around and (whole or not any(around)):
        return channels_first(divide(total, float(prod(window))))
    return channels_first(divide(total, _counted(value, window, steps, around, ends, whole)))


def _counted(x: Value, size: Sizes, stride: Sizes, padding: Sizes, ends: Sizes, whole: bool) -> Value:
    """How many elements of each window count: those of x, with its padding if `whole`."""
    one = lift_like(np.ones((), x.dtype), (x,))
    spatial = tuple(e + 2 * p if whole else e for e, p in zip(x.shape[2:], padding, strict=True))
    ones = broadcast_to(one, (1, *spatial, 1))
    edges = zip(padding, ends, strict=True)
    rest = tuple((0, end - p) if whole else (p, end) for p, end in edges)
    return _over_windows(window_sum, bordered(ones, rest), size, stride)


@telling_where
def avg_pool1d(
    x: Any,
    size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """The mean of each window of x[N, C, L]; with count_include_pad zeros of the padding count too."""
    return _avg_pool("avg_pool1d", 1, x, size, stride, padding, ceil_mode, count_include_pad)


@telling_where
def avg_pool2d(
    x: Any,
    size: Setting,
    stride: Setting | None = None,
    padding: Setting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """The mean of each window of x[N, C, H, W]; as avg_pool1d."""
    return _avg_pool("avg_pool2d", 2, x, size, stride, padding, ceil_mode, count_include_pad)


# --- to a given size ----------------------------------------------------------------------------


def _adaptive(name: str, rank: int, x: Any, size: Any) -> tuple[Value, tuple[Extent, ...]]:
    value = lift_like(x, (x,))
    require(name, value.dtype, FLOATS)
    if value.ndim != rank + 2:
        raise ShapeError(f"{name}: expected {rank + 2} axes (batch, channels, ...), got {value.type}")
    given = tuple(size) if isinstance(size, list | tuple) else (size,) * rank
    if len(given) != rank:
        raise ShapeError(f"{name}: output size is {rank} ints from 1 or None, not {size!r}")
    kept = zip(given, value.shape[2:], strict=True)
    wanted = tuple(extent if s is None else each_axis(name, "output size", s, 1, 1)[0] for s, extent in kept)
    return value, wanted


def _equal_windows(name: str, x: Value, wanted: tuple[Extent, ...]) -> Sizes | None:
    """The window whose steps fill every axis, None where an axis does not divide."""
    sizes = []
    for extent, count in zip(x.shape[2:], wanted, strict=True):
        if extent == count:
            sizes.append(1)
            continue
        if not (isinstance(extent, int) and isinstance(count, int)):
            raise ShapeError(f"{name}: an axis of {extent} has no known size to cut into {count}")
        sizes.append(extent // count if extent % count == 0 else 0)
    return tuple(sizes) if all(sizes) else None


def _adaptive_avg(name: str, rank: int, x: Any, size: Any) -> Value:
    value, wanted = _adaptive(name, rank, x, size)
    if all(count == 1 for count in wanted):
        return mean(value, tuple(range(2, value.ndim)), keepdims=True)
    window = _equal_windows(name, value, wanted)
    if window is not None:
        return _avg_pool(name, rank, value, window, None, 0, False, True)
    for axis, count in enumerate(wanted, start=2):
        value = _averaged_along(value, axis, count)
    return value


def _averaged_along(x: Value, axis: int, count: Extent) -> Value:
    """Means over `count` stretches of an axis, from floor(i * n / count) up to ceil((i + 1) * n / count)."""
    extent = x.shape[axis]
    if extent == count:
        return x
    assert isinstance(extent, int) and isinstance(count, int)
    matrix = np.zeros((extent, count), x.dtype)
    for i in range(count):
        start, stop = i * extent // count, -(-(i + 1) * extent // count)
        matrix[start:stop, i] = 1 / (stop - start)
    order = (*(a for a in range(x.ndim) if a != axis), axis)
    moved = matmul(permute_dims(x, order), matrix)
    return permute_dims(moved, tuple(order.index(a) for a in range(x.ndim)))


@telling_where
def adaptive_avg_pool1d(x: Any, size: int | None) -> Value:
    """x[N, C, L] averaged to [N, C, size], over stretches of nearly equal length; None keeps the axis."""
    return _adaptive_avg("adaptive_avg_pool1d", 1, x, size)


@telling_where
def adaptive_avg_pool2d(x: Any, size: int | tuple[int | None, int | None] | None) -> Value:
    """x[N, C, H, W] averaged to [N, C, *size]; as adaptive_avg_pool1d. Size 1 is the mean of each channel."""
    return _adaptive_avg("adaptive_avg_pool2d", 2, x, size)


@telling_where
def adaptive_max_pool1d(x: Any, size: int | None) -> Value:
    """The largest of x[N, C, L] in each of `size` equal stretches; the axis must divide."""
    return _adaptive_max("adaptive_max_pool1d", 1, x, size)


@telling_where
def adaptive_max_pool2d(x: Any, size: int | tuple[int | None, int | None] | None) -> Value:
    """The largest of x[N, C, H, W] in each of `size` equal windows; the axes must divide."""
    return _adaptive_max("adaptive_max_pool2d", 2, x, size)


def _adaptive_max(name: str, rank: int, x: Any, size: Any) -> Value:
    value, wanted = _adaptive(name, rank, x, size)
    if not all(isinstance(e, int) for e in value.shape[2:]) and all(count == 1 for count in wanted):
        return max_(value, tuple(range(2, value.ndim)), keepdims=True)
    window = _equal_windows(name, value, wanted)
    if window is None:
        raise ShapeError(f"{name}: {value.type} does not divide into {list(wanted)} equal windows")
    return _max_pool(name, rank, value, window, None, 0, False)


@telling_where
def global_avg_pool(x: Any) -> Value:
    """The mean of each channel: x[N, C, *S] to [N, C]."""
    value = lift_like(x, (x,))
    return mean(value, tuple(range(2, value.ndim)))


@telling_where
def global_max_pool(x: Any) -> Value:
    """The largest of each channel: x[N, C, *S] to [N, C]. Equal ones share the gradient."""
    value = lift_like(x, (x,))
    return max_(value, tuple(range(2, value.ndim)))
