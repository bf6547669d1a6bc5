"""Pooling: one result from the elements under a window, channels last, without padding; and the adjoints.

An op is a formula over the taps of a window. Numpy runs it on whole arrays, one a tap; the compiler at one
element of the result. `gather` ops read the window of a result, `spread` ops every window that an element
lies in: with windows that do not overlap, that is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgraph.dimension import Extent, at_least, floor_divide
from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.convolution import Sizes, window_count, windows_of
from symgraph.ops.function import require
from symgraph.ops.scalars import NUMPY
from symgraph.types import FLOATS, TensorType, int32
from symgraph.value import Value, apply


@dataclass(frozen=True, slots=True)
class Tap:
    """One element under a window: its number in row-major order, where it is along the spatial axes, and
    whether that exists (None: always; else `place` is some element that does)."""

    number: Any
    place: tuple[Any, ...]
    inside: Any = None


Taps = Sequence[tuple[Tap, Any]]  # with the operand's value at each; for put, its value and the position's


@dataclass(frozen=True, slots=True)
class Window:
    """How an op of Kind.WINDOW computes an element.

    formula(k, taps, *own): taps are pairs of a Tap and the values read there, of the operands but the last
    `own`, which are read at the element itself. `spreads`: the operands hold a value for each window.
    """

    formula: Callable[..., Any]
    spreads: bool = False
    own: int = 0


def gather_taps(position: Sequence[Any], size: Sizes, stride: Sizes) -> Iterator[Tap]:
    """The elements under the window at `position`."""
    for number, offsets in enumerate(np.ndindex(*size)):
        along = zip(position, stride, offsets, strict=True)
        yield Tap(number, tuple(at * step + offset for at, step, offset in along))


def spread_taps(
    k: Any,
    position: Sequence[Any],
    size: Sizes,
    stride: Sizes,
    extents: tuple[Extent, ...],
    counts: tuple[Extent, ...],
    number_of: Callable[[Extent], Any],
) -> Iterator[Tap]:
    """The windows that the element at `position` may lie in, and which tap of each it is.

    `extents` are the axes', `counts` the numbers of windows along them; number_of(extent) is a scalar of k.
    """
    for back in np.ndindex(*(-(-a // b) for a, b in zip(size, stride, strict=True))):
        number: Any = 0
        places, tests = [], []
        for at, width, step, extent, count, b in zip(
            position, size, stride, extents, counts, back, strict=True
        ):
            window = at // step - b if b else at // step
            offset = at - window * step
            number = number * width + offset
            if b:
                tests.append(window >= 0)
            if (b + 1) * step > width:
                tests.append(offset < width)
            last = floor_divide(extent - 1, step)
            if last is None or not at_least(count - 1 + b, last):
                tests.append(window < number_of(count))
            top = number_of(count - 1)
            places.append(k.minimum(k.maximum(window, 0), top) if tests else window)
        inside = None
        for test in tests:
            inside = test if inside is None else inside & test
        yield Tap(number, tuple(places), inside)


# --- numpy --------------------------------------------------------------------------------------


def _evaluate(window: Window, arrays: tuple[np.ndarray, ...], result: TensorType, attrs: Any) -> np.ndarray:
    shape: Any = result.shape
    split = len(arrays) - window.own
    read = _read_spread if window.spreads else _read_gather
    value = window.formula(NUMPY, list(read(arrays[:split], result, **attrs)), *arrays[split:])
    return np.ascontiguousarray(np.broadcast_to(value, shape), result.dtype)


def _read_gather(
    arrays: tuple[np.ndarray, ...], result: TensorType, *, size: Sizes, stride: Sizes
) -> Iterator[tuple[Tap, Any]]:
    ones = (1,) * len(size)
    views = [windows_of(x, size, stride, ones) for x in arrays]
    whole = (slice(None),) * (len(size) + 1)
    for tap, offsets in zip(gather_taps(ones, size, stride), np.ndindex(*size), strict=True):
        yield tap, tuple(view[(*whole, *offsets)] for view in views)


def _read_spread(
    arrays: tuple[np.ndarray, ...], result: TensorType, *, size: Sizes, stride: Sizes, extents: Sizes
) -> Iterator[tuple[Tap, Any]]:
    counts = arrays[0].shape[1:-1]
    position = np.ogrid[tuple(slice(e) for e in extents)]
    for tap in spread_taps(NUMPY, position, size, stride, extents, counts, lambda extent: extent):
        inside = None if tap.inside is None else np.broadcast_to(tap.inside, extents)[..., None]
        number = np.broadcast_to(tap.number, extents)[..., None]
        values = tuple(x[(slice(None), *tap.place)] for x in arrays)
        yield Tap(number, tap.place, inside), values


# --- inference ----------------------------------------------------------------------------------


def _infer_gather(name: str, x: TensorType, size: Sizes, stride: Sizes) -> TensorType:
    require(name, x.dtype, FLOATS)
    _check(name, x, size, stride)
    axes = zip(x.shape[1:-1], size, stride, strict=True)
    return TensorType((x.shape[0], *(window_count(name, *axis, 1) for axis in axes), x.shape[-1]), x.dtype)


def _infer_spread(
    name: str, g: TensorType, size: Sizes, stride: Sizes, extents: tuple[Extent, ...]
) -> TensorType:
    require(name, g.dtype, FLOATS)
    _check(name, g, size, stride)
    counts = tuple(window_count(name, *axis, 1) for axis in zip(extents, size, stride, strict=True))
    if counts != g.shape[1:-1]:
        raise ShapeError(f"{name}: expected {list(counts)} windows over {list(extents)}, got {g}")
    return TensorType((g.shape[0], *extents, g.shape[-1]), g.dtype)


def _check(name: str, x: TensorType, size: Sizes, stride: Sizes) -> None:
    if x.rank != len(size) + 2:
        raise ShapeError(f"{name}: a window of {len(size)} axes needs {len(size) + 2} axes, got {x}")
    if not all(isinstance(n, int) and n >= 1 for n in (*size, *stride)) or len(stride) != len(size):
        raise ShapeError(f"{name}: size and stride are {x.rank - 2} ints from 1, not {size} and {stride}")


def _check_position(name: str, position: TensorType, expected: TensorType) -> None:
    if position != TensorType(expected.shape, int32):
        raise ShapeError(f"{name}: expected positions {TensorType(expected.shape, int32)}, got {position}")


def _infer_take(x: TensorType, position: TensorType, *, size: Sizes, stride: Sizes) -> TensorType:
    result = _infer_gather("window_take", x, size, stride)
    _check_position("window_take", position, result)
    return result


def _infer_put(
    g: TensorType, position: TensorType, *, size: Sizes, stride: Sizes, extents: tuple[Extent, ...]
) -> TensorType:
    _check_position("window_put", position, g)
    return _infer_spread("window_put", g, size, stride, extents)


def _infer_argmax(x: TensorType, *, size: Sizes, stride: Sizes) -> TensorType:
    return TensorType(_infer_gather("window_argmax", x, size, stride).shape, int32)


# --- formulas -----------------------------------------------------------------------------------


def _maximum(k: Any, taps: Taps) -> Any:
    best = taps[0][1][0]
    for _, (value,) in taps[1:]:
        best = k.maximum(best, value)
    return best


def _argmax(k: Any, taps: Taps) -> Any:
    """The first maximum; of several NaN the last, as in PyTorch."""
    best, at = taps[0][1][0], k.constant(0, int32)
    for tap, (value,) in taps[1:]:
        better = (value > best) | k.not_equal(value, value)
        best, at = k.where(better, value, best), k.where(better, k.constant(tap.number, int32), at)
    return at


def _sum(k: Any, taps: Taps) -> Any:
    total = None
    for tap, (value,) in taps:
        part = value if tap.inside is None else k.where(tap.inside, value, k.constant(0, value.dtype))
        total = part if total is None else total + part
    return total


def _take(k: Any, taps: Taps, position: Any) -> Any:
    found = taps[0][1][0]
    for tap, (value,) in taps[1:]:
        found = k.where(k.equal(position, k.constant(tap.number, int32)), value, found)
    return found


def _put(k: Any, taps: Taps) -> Any:
    total = None
    for tap, (value, position) in taps:
        here = k.equal(position, k.cast(tap.number, int32))
        chosen = here if tap.inside is None else here & tap.inside
        part = k.where(chosen, value, k.constant(0, value.dtype))
        total = part if total is None else total + part
    return total


def _window(name: str, infer: Any, window: Window, doc: str) -> Op:
    def evaluate(*arrays: np.ndarray, **attrs: Any) -> np.ndarray:
        result = infer(*(TensorType(a.shape, a.dtype) for a in arrays), **attrs)
        return _evaluate(window, arrays, result, attrs)

    return Op(name, Kind.WINDOW, infer, evaluate, window, doc=doc)


MAX = _window(
    "window_max",
    lambda x, *, size, stride: _infer_gather("window_max", x, size, stride),
    Window(_maximum),
    "The largest element under each window, NaN where one is; one window every `stride` elements.",
)
ARGMAX = _window("window_argmax", _infer_argmax, Window(_argmax), "Which tap of each window is its maximum.")
SUM = _window(
    "window_sum",
    lambda x, *, size, stride: _infer_gather("window_sum", x, size, stride),
    Window(_sum),
    "The sum of each window's elements.",
)
SPREAD = _window(
    "window_spread",
    lambda g, *, size, stride, extents: _infer_spread("window_spread", g, size, stride, extents),
    Window(_sum, spreads=True),
    "Each element receives the sum over the windows that it lies in: the adjoint of window_sum.",
)
TAKE = _window("window_take", _infer_take, Window(_take, own=1), "The tap of each window that is named.")
PUT = _window(
    "window_put",
    _infer_put,
    Window(_put, spreads=True),
    "Each window's number goes to the tap it names; equal places add up: the adjoint of window_take.",
)


# --- gradients ----------------------------------------------------------------------------------


def window_max(x: Any, size: Sizes, stride: Sizes) -> Value:
    return apply(MAX, (x,), size=size, stride=stride)


def window_sum(x: Any, size: Sizes, stride: Sizes) -> Value:
    return apply(SUM, (x,), size=size, stride=stride)


def _max_vjp(x: Any, out: Any, g: Any, *, size: Sizes, stride: Sizes) -> Any:
    return _put_back(x, g, apply(ARGMAX, (x,), size=size, stride=stride), size, stride)


def _put_back(x: Any, g: Any, position: Any, size: Sizes, stride: Sizes) -> Any:
    return apply(PUT, (g, position), size=size, stride=stride, extents=x.shape[1:-1])


def _take_vjp(x: Any, position: Any, out: Any, g: Any, *, size: Sizes, stride: Sizes) -> Any:
    return _put_back(x, g, position, size, stride), None


def _put_vjp(x: Any, position: Any, out: Any, g: Any, *, size: Sizes, stride: Sizes, extents: Any) -> Any:
    return apply(TAKE, (g, position), size=size, stride=stride), None


def _sum_vjp(x: Any, out: Any, g: Any, *, size: Sizes, stride: Sizes) -> Any:
    return apply(SPREAD, (g,), size=size, stride=stride, extents=x.shape[1:-1])


def _spread_vjp(x: Any, out: Any, g: Any, *, size: Sizes, stride: Sizes, extents: Any) -> Any:
    return apply(SUM, (g,), size=size, stride=stride)


MAX.vjp, TAKE.vjp, PUT.vjp, SUM.vjp, SPREAD.vjp = _max_vjp, _take_vjp, _put_vjp, _sum_vjp, _spread_vjp
