"""Reductions over axes, and what is made of them: mean, variance, argmax, norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph.dimension import Dim, Extent, Shape, product
from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.arithmetic import divide, multiply, square
from symgraph.ops.casting import cast
from symgraph.ops.elementary import sqrt
from symgraph.ops.function import NUMERIC, Function, lift_like, require, telling_where
from symgraph.ops.layout import broadcast_to, expand_dims, normal_axis, reshape
from symgraph.ops.logic import equal, where
from symgraph.symbol import Symbol
from symgraph.types import FLOATS, INTEGERS, DType, TensorType, int64
from symgraph.value import Value, apply

Axis = int | Sequence[int] | None


def normal_axes(name: str, axis: Axis, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes; None means all of them."""
    if axis is None:
        return tuple(range(rank))
    given = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    axes = tuple(sorted(normal_axis(name, a, rank) for a in given))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is named twice in {axis}")
    return axes


def _reduction(name: str, reducer: str, evaluate: Callable[..., Any], doc: str) -> Function:
    def infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        require(name, x.dtype, NUMERIC)
        if reducer in ("maximum", "minimum") and any(x.shape[a] == 0 for a in axes):
            raise ShapeError(f"{name}: {x} has no elements to choose from")
        return TensorType(tuple(e for i, e in enumerate(x.shape) if i not in axes), x.dtype)

    op = Op(
        name,
        Kind.REDUCTION,
        infer,
        evaluate=lambda x, *, axes: evaluate(x, axis=axes, dtype=x.dtype),
        body=reducer,
        doc=doc,
    )

    def call(x: Any, axis: Axis = None, keepdims: bool = False) -> Value:
        value = lift_like(x, (x,))
        axes = normal_axes(name, axis, value.ndim)
        result = apply(op, (value,), axes=axes) if axes else value
        return expand_dims(result, axes) if keepdims and axes else result

    call.__doc__ = doc
    call.__name__ = call.__qualname__ = name
    return Function(op, call, call)


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, axis, dtype: function(x, axis=axis)


sum_ = _reduction("sum", "add", np.sum, "Sum over axes (None: all); 0 where there is nothing to add.")
prod = _reduction("prod", "multiply", np.prod, "Product over axes; 1 where there is nothing to multiply.")
max_ = _reduction("max", "maximum", _extreme(np.max), "Largest over axes; NaN where one is.")
min_ = _reduction("min", "minimum", _extreme(np.min), "Smallest over axes; NaN where one is.")


def back(value: Any, like: Any, axes: tuple[int, ...]) -> Value:
    """A reduced value spread again over the axes it was reduced over."""
    return broadcast_to(expand_dims(value, axes), like.shape) if axes else value


@sum_.vjp
def sum_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    return back(g, x, axes)


@broadcast_to.vjp
def broadcast_to_vjp(x: Any, out: Any, g: Any, *, shape: Shape) -> Any:
    lead = len(shape) - x.ndim
    axes = [*range(lead)]
    axes += [i + lead for i, e in enumerate(x.shape) if e == 1 and shape[i + lead] != 1]
    return reshape(sum_(g, axes), x.shape)


def _extreme_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    """Equal winners share the gradient, as PyTorch's amax does."""
    chosen = cast(equal(x, back(out, x, axes)), x.dtype)
    return chosen * back(g / sum_(chosen, axes), x, axes)


max_.vjp(_extreme_vjp)
min_.vjp(_extreme_vjp)


@prod.vjp
def prod_vjp(x: Any, out: Any, g: Any, *, axes: tuple[int, ...]) -> Any:
    """Product of the others: out / x, but right where some x are 0."""
    zero = equal(x, 0.0)
    zeros = back(sum_(cast(zero, x.dtype), axes), x, axes)
    others = back(prod(where(zero, 1.0, x), axes), x, axes)
    at_zero = where(equal(zeros, 1.0), others, 0.0)
    elsewhere = where(equal(zeros, 0.0), others / where(zero, 1.0, x), 0.0)
    return back(g, x, axes) * where(zero, at_zero, elsewhere)


def _infer_extent(*, extent: Extent, dtype: DType) -> TensorType:
    return TensorType((), dtype)


EXTENT = Op(
    "extent",
    Kind.SOURCE,
    _infer_extent,
    evaluate=lambda *, extent, dtype: np.asarray(extent, dtype),
    doc="The size of an axis, or a polynomial in sizes, as a scalar.",
)


def extent_of(extent: Extent, like: Any, dtype: DType | None = None) -> Value:
    """An extent as a scalar of `like`'s world and dtype."""
    kind = like.dtype if dtype is None else dtype
    if isinstance(extent, Dim):
        return Symbol.apply(EXTENT, (), {"extent": extent, "dtype": kind})
    return lift_like(np.asarray(extent, kind), (like,))


def _count(x: Any, axes: tuple[int, ...]) -> Extent:
    return product(x.shape[a] for a in axes)


@telling_where
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Value:
    """Arithmetic mean of floats over axes; NaN where there is nothing to average."""
    value = lift_like(x, (x,))
    require("mean", value.dtype, FLOATS)
    axes = normal_axes("mean", axis, value.ndim)
    average = divide(sum_(value, axes), extent_of(_count(value, axes), value))
    return expand_dims(average, axes) if keepdims and axes else average


@telling_where
def var(x: Any, axis: Axis = None, keepdims: bool = False, correction: float = 0) -> Value:
    """Variance of floats over axes: the mean squared distance from the mean, times n / (n - correction)."""
    value = lift_like(x, (x,))
    require("var", value.dtype, FLOATS)
    axes = normal_axes("var", axis, value.ndim)
    distance = value - back(mean(value, axes), value, axes)
    total = sum_(square(distance), axes)
    count = extent_of(_count(value, axes), value)
    spread = divide(total, count - correction if correction else count)
    return expand_dims(spread, axes) if keepdims and axes else spread


@telling_where
def std(x: Any, axis: Axis = None, keepdims: bool = False, correction: float = 0) -> Value:
    """Square root of `var`."""
    return sqrt(var(x, axis, keepdims, correction))


def arange(extent: Extent, like: Any) -> Value:
    """0, 1, ... extent - 1 as int64, in `like`'s world."""
    return iota((extent,), 0, like)


IOTA = Op(
    "iota",
    Kind.LAYOUT,
    infer=lambda *, shape, axis: TensorType(shape, int64),
    evaluate=lambda *, shape, axis: np.broadcast_to(
        np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape
    ),
    doc="Each element's position along one axis.",
)


def iota(shape: Shape, axis: int, like: Any) -> Value:
    """int64 positions along one axis of a shape, in `like`'s world."""
    return type(like).apply(IOTA, (), {"shape": shape, "axis": axis})


@telling_where
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Value:
    """int64 position of the first largest element along an axis (None: of the flattened array).

    A NaN counts as largest, as in numpy.
    """
    value = lift_like(x, (x,))
    if axis is None:
        value, axis = reshape(value, (-1,)), 0
    place = normal_axis("argmax", axis, value.ndim)
    largest = back(max_(value, place), value, (place,))
    # A NaN makes the maximum NaN, which equals nothing: then the first NaN is wanted.
    found = equal(value, largest) if value.dtype not in FLOATS else equal(value, largest) | (value != value)
    position = iota(value.shape, place, value)
    return min_(where(found, position, extent_of(value.shape[place], value, int64)), place, keepdims)


@telling_where
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Value:
    """int64 position of the first smallest element along an axis (None: of the flattened array)."""
    return argmax(multiply(lift_like(x, (x,)), -1), axis, keepdims)


@telling_where
def all_(x: Any, axis: Axis = None, keepdims: bool = False) -> Value:
    """Whether every element of a bool array is true."""
    return equal(min_(cast(x, INTEGERS[0]), axis, keepdims), 1)


@telling_where
def any_(x: Any, axis: Axis = None, keepdims: bool = False) -> Value:
    """Whether some element of a bool array is true."""
    return equal(max_(cast(x, INTEGERS[0]), axis, keepdims), 1)
