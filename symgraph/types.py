"""What is known of a value before it exists: the extents of its axes and its element type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from symgraph.dimension import Dim, Extent, Shape, product
from symgraph.errors import DTypeError, ShapeError

DType = np.dtype

float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
bool_: DType = np.dtype(np.bool_)

DTYPES = (float32, float64, int32, int64, bool_)
ACCEPTED = ", ".join(map(str, DTYPES))
FLOATS = (float32, float64)
INTEGERS = (int32, int64)
SHORT_NAMES = {float32: "f32", float64: "f64", int32: "i32", int64: "i64", bool_: "bool"}


def as_dtype(spec: object) -> DType:
    """One of the five element types, from a numpy dtype, its class or its name.

    Raises DTypeError for anything else (float16, complex, objects, big-endian numbers).
    """
    try:
        dtype = np.dtype(spec)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except TypeError as error:
        raise DTypeError(f"{spec!r} is no element type; expected one of {ACCEPTED}") from error
    if dtype not in DTYPES:
        raise DTypeError(f"element type {dtype} is not supported; expected one of {ACCEPTED}")
    return dtype


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape and element type: `f32[batch, 64]`."""

    shape: Shape
    dtype: DType

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Extent:
        """Number of elements."""
        return product(self.shape)

    @property
    def bytes(self) -> Extent:
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{SHORT_NAMES[self.dtype]}[{', '.join(map(str, self.shape))}]"


LARGEST = 2**62


def as_shape(dims: object) -> Shape:
    """A shape from ints and dimension names; raises ShapeError for anything else.

    `("batch", 64)` is an axis of any size, known by its name, and one of 64.
    """
    if isinstance(dims, (int, str, Dim, np.integer)):
        dims = (dims,)
    if not isinstance(dims, Iterable):
        raise ShapeError(f"a shape is a tuple of ints and dimension names, not {dims!r}")
    shape = tuple(_as_extent(d) for d in dims)
    static = product(e for e in shape if isinstance(e, int))
    if isinstance(static, int) and static > LARGEST:
        raise ShapeError(f"shape {shape} has {static} elements, more than memory can address")
    return shape


def _as_extent(dim: object) -> Extent:
    if isinstance(dim, Dim):
        return dim
    if isinstance(dim, str):
        if not dim.isidentifier():
            raise ShapeError(f"dimension name {dim!r} is not an identifier")
        return Dim.named(dim)
    if dim is None:
        raise ShapeError("a dimension of unknown size needs a name: write 'batch' instead of None")
    if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, (int, np.integer)):
        raise ShapeError(f"a dimension is an int or a name, not {dim!r}")
    if dim < 0:
        raise ShapeError(f"a dimension cannot be negative: {dim}")
    if dim > LARGEST:
        raise ShapeError(f"a dimension of {dim} is more than memory can address")
    return int(dim)
