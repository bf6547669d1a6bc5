"""`x[...]`: ints, slices, None and ..., and integer arrays along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.dimension import Extent, at_least
from symgraph.errors import ShapeError
from symgraph.ops.function import telling_where
from symgraph.ops.gather import take
from symgraph.ops.layout import expand_dims, flip, squeeze, static_slice
from symgraph.value import Value


@telling_where
def getitem(x: Value, key: Any) -> Value:
    """numpy's basic indexing; an array of ints may stand on one axis. Slices of named dimensions
    take static or open ends with step 1 or -1."""
    parts = _spelled_out(x, key if isinstance(key, tuple) else (key,))
    bounds, drop, flips, taken, new = [], [], [], [], []
    axis = 0
    out = 0
    for part in parts:
        if part is None:
            new.append(out)
            out += 1
            continue
        extent = x.shape[axis]
        if isinstance(part, slice):
            bound, reverse = _slice_bounds(part, extent, axis)
            bounds.append(bound)
            if reverse:
                flips.append(axis)
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            start = _position(int(part), extent, axis)
            bounds.append((start, start + 1, 1))
            drop.append(axis)
            out -= 1
        else:
            bounds.append((0, extent, 1))
            taken.append((axis, part))
        axis += 1
        out += 1
    if len(taken) > 1:
        raise ShapeError("indexing: only one axis may be indexed by an array; use sg.take in turn")
    result = static_slice(x, tuple(bounds))
    if flips:
        result = flip(result, flips)
    for place, indices in taken:
        if drop or new:
            raise ShapeError("indexing: an array index cannot stand beside ints or None; use sg.take")
        result = take(result, indices, axis=place)
    if drop:
        result = squeeze(result, drop)
    return expand_dims(result, new) if new else result


def _spelled_out(x: Value, key: tuple[Any, ...]) -> list[Any]:
    """The key with `...` replaced by full slices, one entry an axis besides None."""
    used = sum(1 for part in key if part is not None and part is not Ellipsis)
    dots = sum(1 for part in key if part is Ellipsis)
    if used > x.ndim or dots > 1:
        raise ShapeError(f"indexing: {used} indices for the {x.ndim} axes of {x.type}")
    fill = [slice(None)] * (x.ndim - used)
    parts: list[Any] = []
    for part in key:
        parts.extend(fill if part is Ellipsis else [part])
    return parts if dots else parts + fill


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
        raise ShapeError(f"indexing: a step of {step} along the named dimension {extent} of axis {axis}")
    start = 0 if part.start is None else _end(part.start, extent)
    stop = extent if part.stop is None else _end(part.stop, extent)
    if not at_least(stop, start) and isinstance(stop, int) and isinstance(start, int):
        stop = start
    return (start, stop, 1), step == -1


def _end(value: Any, extent: Extent) -> Extent:
    return value if not isinstance(value, int) or value >= 0 else extent + value
