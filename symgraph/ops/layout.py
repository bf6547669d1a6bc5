"""Ops that move elements without computing: every output element is one input element, or padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgraph.dimension import Dim, Extent, Shape, at_least, divide, names_of, product
from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.function import Function, lift_all, lift_like, telling_where
from symgraph.symbol import Symbol
from symgraph.types import TensorType, as_shape
from symgraph.value import Value, apply, broadcast_shapes, common_dtype
from symgraph.words import counted

Bounds = tuple[tuple[Extent, Extent, int], ...]


def normal_axis(name: str, axis: int, rank: int) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ShapeError(f"{name}: an axis is an int, not {axis!r}")
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: axis {axis} does not exist in a value of {counted(rank, 'axis', 'axes')}")
    return int(axis) % rank


# --- broadcast_to -------------------------------------------------------------------------------


def _infer_broadcast(x: TensorType, *, shape: Shape) -> TensorType:
    if broadcast_shapes("broadcast_to", [x.shape, shape]) != shape:
        raise ShapeError(f"broadcast_to: {x} does not broadcast to {list(shape)}")
    return TensorType(shape, x.dtype)


BROADCAST = Op(
    "broadcast_to",
    Kind.LAYOUT,
    _infer_broadcast,
    evaluate=lambda x, *, shape: np.broadcast_to(x, shape),
)


def _call_broadcast(x: Any, shape: Any) -> Value:
    """x repeated along new leading axes and axes of size 1."""
    value = lift_like(x, (x,))
    wanted = as_shape(shape)
    if names_of(wanted):
        value = Symbol.enter(value)  # a parameter spread over a named dimension belongs to a graph
    return value if value.shape == wanted else apply(BROADCAST, (value,), shape=wanted)


broadcast_to = Function(BROADCAST, _call_broadcast, _call_broadcast)


# --- reshape ------------------------------------------------------------------------------------


def _infer_reshape(x: TensorType, *, shape: Shape) -> TensorType:
    if product(shape) != x.size:
        raise ShapeError(f"reshape: {x} has {x.size} elements, {list(shape)} has {product(shape)}")
    return TensorType(shape, x.dtype)


RESHAPE = Op(
    "reshape", Kind.LAYOUT, _infer_reshape, evaluate=lambda x, *, shape: np.reshape(x, shape)
)


def _call_reshape(x: Any, shape: Any) -> Value:
    """The same elements in row-major order under another shape; one extent may be -1."""
    value = lift_like(x, (x,))
    entries = (shape,) if isinstance(shape, int | str | Dim) else tuple(shape)
    if any(isinstance(e, int) and e == -1 for e in entries):
        entries = _solve(value, entries)
    wanted = as_shape(entries)
    return value if value.shape == wanted else apply(RESHAPE, (value,), shape=wanted)


def _solve(value: Value, entries: tuple[Any, ...]) -> tuple[Any, ...]:
    known = as_shape([e for e in entries if not (isinstance(e, int) and e == -1)])
    if len(known) != len(entries) - 1:
        raise ShapeError(f"reshape: only one extent may be -1, got {list(entries)}")
    left = divide(value.type.size, product(known))
    if left is None:
        raise ShapeError(f"reshape: {value.type} does not fit into {list(entries)}")
    return tuple(left if isinstance(e, int) and e == -1 else e for e in entries)


reshape = Function(RESHAPE, _call_reshape, _call_reshape)


@reshape.vjp
def reshape_vjp(x: Any, out: Any, g: Any, *, shape: Shape) -> Any:
    return reshape(g, x.shape)


@telling_where
def expand_dims(x: Any, axis: int | Sequence[int] = 0) -> Value:
    """x with axes of size 1 put in, at the places they have in the result."""
    value = lift_like(x, (x,))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    rank = value.ndim + len(axes)
    places = {normal_axis("expand_dims", a, rank) for a in axes}
    old = iter(value.shape)
    return reshape(value, tuple(1 if i in places else next(old) for i in range(rank)))


@telling_where
def squeeze(x: Any, axis: int | Sequence[int]) -> Value:
    """x without the given axes, which must be of size 1."""
    value = lift_like(x, (x,))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    places = {normal_axis("squeeze", a, value.ndim) for a in axes}
    for place in places:
        if value.shape[place] != 1:
            raise ShapeError(f"squeeze: axis {place} of {value.type} is not of size 1")
    return reshape(value, tuple(e for i, e in enumerate(value.shape) if i not in places))


# --- permute_dims, flip -------------------------------------------------------------------------


def _infer_permute(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.rank)):
        raise ShapeError(f"permute_dims: {axes} is not an order of the {x.rank} axes of {x}")
    return TensorType(tuple(x.shape[a] for a in axes), x.dtype)


PERMUTE = Op(
    "permute_dims", Kind.LAYOUT, _infer_permute, evaluate=lambda x, *, axes: np.transpose(x, axes)
)


def _call_permute(x: Any, axes: Sequence[int]) -> Value:
    """Axis i of the result is axis axes[i] of x."""
    value = lift_like(x, (x,))
    order = tuple(normal_axis("permute_dims", a, value.ndim) for a in axes)
    return value if order == tuple(range(value.ndim)) else apply(PERMUTE, (value,), axes=order)


permute_dims = Function(PERMUTE, _call_permute, _call_permute)


@permute_dims.vjp
def permute_dims_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    return permute_dims(g, tuple(axes.index(i) for i in range(len(axes))))


@telling_where
def matrix_transpose(x: Any) -> Value:
    """x with its last two axes exchanged."""
    value = lift_like(x, (x,))
    if value.ndim < 2:
        raise ShapeError(f"matrix_transpose: at least two axes are needed, got {value.type}")
    return permute_dims(value, (*range(value.ndim - 2), value.ndim - 1, value.ndim - 2))


FLIP = Op(
    "flip",
    Kind.LAYOUT,
    infer=lambda x, *, axes: x,
    evaluate=lambda x, *, axes: np.flip(x, axes),
)


def _call_flip(x: Any, axis: int | Sequence[int] | None = None) -> Value:
    """x in reverse order along an axis, several, or all (None)."""
    value = lift_like(x, (x,))
    axes = range(value.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    places = tuple(sorted({normal_axis("flip", a, value.ndim) for a in axes}))
    return apply(FLIP, (value,), axes=places) if places else value


flip = Function(FLIP, _call_flip, _call_flip)


@flip.vjp
def flip_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    return flip(g, axes)


# --- slice, pad ---------------------------------------------------------------------------------


def _infer_slice(x: TensorType, *, bounds: Bounds) -> TensorType:
    return TensorType(tuple(slice_length(b) for b in bounds), x.dtype)


def slice_length(bound: tuple[Extent, Extent, int]) -> Extent:
    """Number of elements from start (included) to stop (excluded), step >= 1."""
    start, stop, step = bound
    if step == 1:
        return stop - start
    assert isinstance(start, int) and isinstance(stop, int)
    return max(0, -(-(stop - start) // step))


SLICE = Op(
    "slice",
    Kind.LAYOUT,
    _infer_slice,
    evaluate=lambda x, *, bounds: x[tuple(slice(*b) for b in bounds)],
)


def static_slice(x: Any, bounds: Bounds) -> Value:
    """x[start:stop:step] on every axis; bounds are non-negative and inside, steps positive."""
    whole = tuple((0, extent, 1) for extent in x.shape)
    return x if bounds == whole else apply(SLICE, (x,), bounds=bounds)


slice_ = Function(SLICE, static_slice, static_slice)


@slice_.vjp
def slice_vjp(x: Any, out: Any, g: Any, *, bounds: Bounds) -> Any:
    widths = []
    for (start, _, step), length, extent in zip(bounds, g.shape, x.shape, strict=True):
        covered = 0 if length == 0 else (length - 1) * step + 1
        widths.append((start, extent - start - covered, step - 1))
    return padded(g, tuple(widths))


def _infer_pad(x: TensorType, *, widths: tuple[Any, ...], value: float) -> TensorType:
    shape = tuple(padded_length(e, w) for e, w in zip(x.shape, widths, strict=True))
    return TensorType(shape, x.dtype)


def padded_length(extent: Extent, width: tuple[Extent, Extent, int]) -> Extent:
    before, after, between = width
    inner = 0 if extent == 0 else extent + (extent - 1) * between
    return before + inner + after


def _evaluate_pad(x: np.ndarray, *, widths: tuple[Any, ...], value: float) -> np.ndarray:
    shape = [padded_length(e, w) for e, w in zip(x.shape, widths, strict=True)]
    out = np.full(shape, value, x.dtype)
    places = tuple(
        slice(before, before + (e - 1) * (between + 1) + 1 if e else before, between + 1)
        for e, (before, _, between) in zip(x.shape, widths, strict=True)
    )
    out[places] = x
    return out


PAD = Op("pad", Kind.LAYOUT, _infer_pad, evaluate=_evaluate_pad)


def padded(x: Any, widths: tuple[tuple[Extent, Extent, int], ...], value: float = 0) -> Value:
    """x with (before, after, between) constant elements added along each axis."""
    if all(w == (0, 0, 0) for w in widths):
        return x
    return apply(PAD, (x,), widths=widths, value=value)


def _call_pad(x: Any, pad_width: Any, value: float = 0) -> Value:
    """x with a constant border: `pad_width` is one (before, after) for each axis, or one for all."""
    tensor = lift_like(x, (x,))
    try:
        pairs = np.broadcast_to(np.asarray(pad_width, dtype=object), (tensor.ndim, 2)).tolist()
    except ValueError:
        raise ShapeError(f"pad: {pad_width!r} is no (before, after) for each axis of {tensor.type}") from None
    for before, after in pairs:
        if not (isinstance(before, int) and isinstance(after, int)) or before < 0 or after < 0:
            raise ShapeError(f"pad: widths are ints from 0, got {(before, after)}")
    return padded(tensor, tuple((before, after, 0) for before, after in pairs), value)


pad = Function(PAD, _call_pad, _call_pad)


@pad.vjp
def pad_vjp(x: Any, out: Any, g: Any, *, widths: tuple[Any, ...], value: float) -> Any:
    bounds = []
    for extent, (before, _, between) in zip(x.shape, widths, strict=True):
        covered = 0 if extent == 0 else (extent - 1) * (between + 1) + 1
        bounds.append((before, before + covered, between + 1))
    return static_slice(g, tuple(bounds))


# --- concat, stack ------------------------------------------------------------------------------


def _infer_concat(*types: TensorType, axis: int) -> TensorType:
    first = types[0]
    for other in types[1:]:
        same = other.rank == first.rank and all(
            i == axis or a == b for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True))
        )
        if not same:
            raise ShapeError(f"concat: {first} and {other} differ outside axis {axis}")
    total: Extent = 0
    for kind in types:
        total = total + kind.shape[axis]
    return TensorType((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)


CONCAT = Op(
    "concat",
    Kind.LAYOUT,
    _infer_concat,
    evaluate=lambda *xs, axis: np.concatenate(xs, axis),
)


def listed(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a list. Raises TypeError for a value alone, whose own slices were hardly meant."""
    if isinstance(values, Value):
        raise TypeError(f"{name}: expected a list of values, as in sg.{name}([x, y]), got {values!r}")
    return tuple(values)


def _call_concat(values: Sequence[Any], axis: int = 0) -> Value:
    """Values joined along an existing axis; other extents must agree."""
    parts = listed("concat", values)
    if not parts:
        raise ShapeError("concat: at least one value is needed")
    lifted = lift_all(parts)
    common_dtype("concat", [v.dtype for v in lifted])
    place = normal_axis("concat", axis, lifted[0].ndim)
    return lifted[0] if len(lifted) == 1 else apply(CONCAT, lifted, axis=place)


concat = Function(CONCAT, _call_concat, _call_concat)


@concat.vjp
def concat_vjp(*operands: Any, axis: int) -> Any:
    *parts, _, g = operands
    gradients = []
    start: Extent = 0
    for part in parts:
        stop = start + part.shape[axis]
        bounds = tuple(
            (start, stop, 1) if i == axis else (0, extent, 1) for i, extent in enumerate(g.shape)
        )
        gradients.append(static_slice(g, bounds))
        start = stop
    return tuple(gradients)


@telling_where
def stack(values: Sequence[Any], axis: int = 0) -> Value:
    """Values of one shape joined along a new axis."""
    parts = lift_all(listed("stack", values))
    for part in parts:
        if part.shape != parts[0].shape:
            raise ShapeError(f"stack: {parts[0].type} and {part.type} differ in shape")
    return concat([expand_dims(part, axis) for part in parts], axis)


@telling_where
def unstack(x: Any, axis: int = 0) -> list[Value]:
    """The slices of x along an axis of static extent, without that axis."""
    value = lift_like(x, (x,))
    place = normal_axis("unstack", axis, value.ndim)
    count = value.shape[place]
    if not isinstance(count, int):
        raise ShapeError(f"unstack: axis {place} of {value.type} has no static size")
    return [squeeze(narrow(value, place, i, i + 1), place) for i in range(count)]


def narrow(x: Value, axis: int, start: Extent, stop: Extent) -> Value:
    """x[start:stop] along one axis."""
    if not (at_least(stop, start) and at_least(x.shape[axis], stop)):
        raise ShapeError(f"slice {start}:{stop} lies outside axis {axis} of {x.type}")
    bounds: list[tuple[Extent, Extent, int]] = [(0, extent, 1) for extent in x.shape]
    bounds[axis] = (start, stop, 1)
    return static_slice(x, tuple(bounds))
