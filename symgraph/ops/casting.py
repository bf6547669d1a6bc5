"""The same numbers as another element type or without a gradient; one number in the shape of a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.op import Kind, Op
from symgraph.ops.elementwise import elementwise
from symgraph.ops.function import ANY, Function, lift_like
from symgraph.ops.layout import broadcast_to
from symgraph.ops.scalars import cast_array
from symgraph.types import DType, TensorType, as_dtype
from symgraph.value import CAST, Value, apply


def _infer_cast(x: TensorType, *, dtype: DType) -> TensorType:
    return TensorType(x.shape, dtype)


def _cast(k: Any, x: Any, *, dtype: DType) -> Any:
    """x as another element type. Float to int truncates and saturates, NaN becomes 0."""
    return k.cast(x, dtype)


CAST_OP = Op("cast", Kind.ELEMENTWISE, _infer_cast, cast_array, _cast, doc=_cast.__doc__ or "")


def _call_cast(x: Any, dtype: Any) -> Value:
    wanted = as_dtype(dtype)
    value = lift_like(x, (x,))
    return value if value.dtype == wanted else apply(CAST_OP, (value,), dtype=wanted)


cast = Function(CAST_OP, _call_cast, _cast)
CAST.append(cast)


@cast.vjp
def cast_vjp(x: Any, out: Any, g: Any, *, dtype: DType) -> Any:
    return cast(g, x.dtype)


@elementwise(ANY)
def stop_gradient(k: Any, x: Any) -> Any:
    """x, through which no gradient flows (`detach` in the eager world)."""
    return x


def zeros_like(x: Any) -> Value:
    """Zeros of x's shape and dtype, in x's world."""
    return full_like(x, 0)


def full_like(x: Any, value: float) -> Value:
    """One number in x's shape and dtype, in x's world."""
    scalar = lift_like(np.asarray(value, dtype=x.dtype), (x,))
    return broadcast_to(scalar, x.shape)
