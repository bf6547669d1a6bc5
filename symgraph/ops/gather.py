"""Reading and writing at computed positions: take, and its adjoint scatter_add."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.dimension import Extent, Shape
from symgraph.errors import InputError, ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.function import Function, lift_like, require
from symgraph.ops.layout import normal_axis
from symgraph.ops.logic import where
from symgraph.ops.reduce import extent_of
from symgraph.types import INTEGERS, TensorType, as_shape
from symgraph.value import Value, apply


def _infer_within(indices: TensorType, *, extent: Extent, what: str) -> TensorType:
    require(what, indices.dtype, INTEGERS)
    return indices


def _evaluate_within(indices: np.ndarray, *, extent: int, what: str) -> np.ndarray:
    low, high = (indices.min(), indices.max()) if indices.size else (0, -1)
    if low < 0 or high >= extent:
        bad = low if low < 0 else high
        raise InputError(f"{what} is {bad}, outside [0, {extent})")
    return indices


WITHIN = Op(
    "within",
    Kind.ELEMENTWISE,
    _infer_within,
    _evaluate_within,
    body=lambda k, indices, *, extent, what: indices,
    doc="Integers that must lie in [0, extent): a promise checked when the graph runs.",
)


def within(indices: Any, extent: Extent, what: str) -> Value:
    """The same integers; the call fails with an InputError that begins with `what` if one is outside."""
    return apply(WITHIN, (lift_like(indices, (indices,)),), extent=extent, what=what)


def _infer_take(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    require("take (indices)", indices.dtype, INTEGERS)
    return TensorType((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)


def _evaluate_take(x: np.ndarray, indices: np.ndarray, *, axis: int) -> np.ndarray:
    return np.take(x, indices, axis=axis)


TAKE = Op("take", Kind.GATHER, _infer_take, _evaluate_take)


def _call_take(x: Any, indices: Any, axis: int = 0) -> Value:
    """x[..., indices, ...] along one axis; indices are int32 or int64 of any shape.

    Negative ones count from the end. Outside the axis the call fails with an InputError.
    """
    everything = (x, indices)
    value = lift_like(x, everything)
    if value.ndim == 0:
        raise ShapeError("take: a scalar has no axis to take from")
    place = normal_axis("take", axis, value.ndim)
    places = _counted_from_start(lift_like(indices, everything), value.shape[place], "take: an index")
    return apply(TAKE, (value, places), axis=place)


def _counted_from_start(indices: Value, extent: Extent, what: str) -> Value:
    require(what, indices.dtype, INTEGERS)
    size = extent_of(extent, indices)
    return within(where(indices < 0, indices + size, indices), extent, what)


take = Function(TAKE, _call_take, _call_take)


@take.vjp
def take_vjp(x: Any, indices: Any, out: Any, g: Any, *, axis: int) -> Any:
    return apply(SCATTER_ADD, (g, indices), shape=x.shape, axis=axis), None


def _infer_scatter(x: TensorType, indices: TensorType, *, shape: Shape, axis: int) -> TensorType:
    require("scatter_add (indices)", indices.dtype, INTEGERS)
    expected = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    if x.shape != expected:
        raise ShapeError(f"scatter_add: expected values of shape {list(expected)}, got {x}")
    return TensorType(shape, x.dtype)


def _evaluate_scatter(x: np.ndarray, indices: np.ndarray, *, shape: Shape, axis: int) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    moved = np.moveaxis(out, axis, 0)
    places = indices.reshape(-1)
    values = np.moveaxis(
        x.reshape((*x.shape[:axis], places.size, *x.shape[axis + indices.ndim :])), axis, 0
    )
    np.add.at(moved, places, values)
    return out


SCATTER_ADD = Op("scatter_add", Kind.SCATTER, _infer_scatter, _evaluate_scatter)


def _call_scatter(x: Any, indices: Any, shape: Any, axis: int = 0) -> Value:
    """Zeros of `shape`, with x[..., i, ...] added at indices[i] along the axis; equal indices add up."""
    everything = (x, indices)
    wanted = as_shape(shape)
    place = normal_axis("scatter_add", axis, len(wanted))
    value, places = (lift_like(v, everything) for v in everything)
    places = _counted_from_start(places, wanted[place], "scatter_add: an index")
    return apply(SCATTER_ADD, (value, places), shape=wanted, axis=place)


scatter_add = Function(SCATTER_ADD, _call_scatter, _call_scatter)


@scatter_add.vjp
def scatter_add_vjp(x: Any, indices: Any, out: Any, g: Any, *, shape: Shape, axis: int) -> Any:
    return apply(TAKE, (g, indices), axis=axis), None
