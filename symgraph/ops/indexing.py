"""`x[...]`: ints, slices, None and ..., and integer arrays along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.dimension import Extent, Shape, at_least
from symgraph.errors import ShapeError
from symgraph.ops.function import telling_where
from symgraph.ops.gather import take
from symgraph.ops.layout import Bounds, expand_dims, flip, squeeze, static_slice
from symgraph.types import bool_
from symgraph.value import Value
from symgraph.words import counted


@telling_where
def getitem(x: Value, key: Any) -> Value:
    """numpy's basic indexing; an array of ints may stand on one axis. Slices of named dimensions
    take static or open ends with step 1 or -1."""
    parts = _spelled_out(x, key if isinstance(key, tuple) else (key,))
    new = _new_axes(parts)
    parts = [part for part in parts if part is not None]
    bounds, flips = _bounds(parts, x.shape)
    drop = [axis for axis, part in enumerate(parts) if _is_int(part)]
    result = static_slice(x, bounds)
    if flips:
        result = flip(result, flips)
    for axis, part in enumerate(parts):
        if _is_array(part):
            if drop or new:
                raise ShapeError("indexing: an array index cannot stand beside ints or None; use sg.take")
            result = take(result, part, axis=axis)
    if drop:
        result = squeeze(result, drop)
    return expand_dims(result, new) if new else result


def _new_axes(parts: list[Any]) -> list[int]:
    """Where the Nones stand in the result, in which an int leaves no axis."""
    left = [part for part in parts if not _is_int(part)]
    return [place for place, part in enumerate(left) if part is None]


def _bounds(parts: list[Any], shape: Shape) -> tuple[Bounds, list[int]]:
    """(start, stop, step) along each axis, and the axes to be reversed afterwards."""
    bounds: list[tuple[Extent, Extent, int]] = []
    flips = []
    for axis, (part, extent) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            bound, reverse = _slice_bounds(part, extent, axis)
            bounds.append(bound)
            flips += [axis] * reverse
        elif _is_int(part):
            start = _position(int(part), extent, axis)
            bounds.append((start, start + 1, 1))
        else:
            bounds.append((0, extent, 1))
    return tuple(bounds), flips


def _is_int(part: Any) -> bool:
    return isinstance(part, int | np.integer) and not isinstance(part, bool)


def _is_array(part: Any) -> bool:
    return isinstance(part, Value | np.ndarray | list)


def _spelled_out(x: Value, key: tuple[Any, ...]) -> list[Any]:
    """The key with `...` replaced by full slices, one entry an axis besides None."""
    used = sum(1 for part in key if part is not None and part is not Ellipsis)
    dots = sum(1 for part in key if part is Ellipsis)
    if used > x.ndim or dots > 1:
        raise ShapeError(f"indexing: {counted(used, 'index', 'indices')} for {x.type}")
    _check_parts(key)
    fill = [slice(None)] * (x.ndim - used)
    parts: list[Any] = []
    for part in key:
        parts.extend(fill if part is Ellipsis else [part])
    return parts if dots else parts + fill


def _check_parts(key: tuple[Any, ...]) -> None:
    for part in key:
        if part is not None and part is not Ellipsis and not isinstance(part, slice):
            if not (_is_int(part) or _is_array(part)):
                raise ShapeError(
                    f"indexing: an index is an int, a slice, None, ... or an array of ints, not {part!r:.40}"
                )
            if getattr(part, "dtype", None) == bool_:
                raise ShapeError("indexing: the size of x[mask] depends on data; use sg.where(mask, x, 0)")
    if sum(map(_is_array, key)) > 1:
        raise ShapeError("indexing: only one axis may be indexed by an array; use sg.take in turn")


def _position(index: int, extent: Extent, axis: int) -> Extent:
    if isinstance(extent, int) and not -extent <= index < extent:
        raise ShapeError(f"indexing: {index} lies outside axis {axis} of size {extent}")
    return index if index >= 0 else extent + index


def _slice_bounds(part: slice, extent: Extent, axis: int) -> tuple[tuple[Extent, Extent, int], bool]:
    step = 1 if part.step is None else int(part.step)
    if isinstance(extent, int):
        start, stop, step = part.indices(extent)
        if step > 0:
            return (start, max(start, stop), step), False
        count = len(range(start, stop, step))
        last = start + (count - 1) * step
        return ((last, start + 1, -step) if count else (0, 0, 1)), True
    if step not in (1, -1) or (step == -1 and (part.start, part.stop) != (None, None)):
        raise ShapeError(
            f"indexing: along axis {axis}, the named dimension {extent}, x[a:b] and x[::-1] are possible"
        )
    start = 0 if part.start is None else _end(part.start, extent)
    stop = extent if part.stop is None else _end(part.stop, extent)
    if not at_least(stop, start) and isinstance(stop, int) and isinstance(start, int):
        stop = start
    return (start, stop, 1), step == -1


def _end(value: Any, extent: Extent) -> Extent:
    return value if not isinstance(value, int) or value >= 0 else extent + value
