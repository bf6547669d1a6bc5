"""What both worlds share: a value has a type, operators, and ops are applied to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from symgraph.dimension import Shape
from symgraph.errors import DTypeError, ShapeError
from symgraph.op import Op
from symgraph.types import (
    FLOATS,
    INTEGERS,
    DType,
    TensorType,
    as_dtype,
    bool_,
    float32,
    int64,
)

Number = (bool, int, float, np.bool_, np.integer, np.floating)


class Value:
    """A Symbol (static) or a Tensor (eager). Abstract: each world says how an op is applied.

    Operators are installed by symgraph.ops, from the table of ops itself.
    """

    __slots__ = ()
    type: TensorType
    priority: ClassVar[int] = 0  # the world of the operand with the highest one is the op's

    @classmethod
    def apply(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Value:
        raise NotImplementedError(f"{cls.__name__} is abstract")

    @classmethod
    def lift(cls, array: np.ndarray) -> Value:
        """A constant of this world."""
        raise NotImplementedError(f"{cls.__name__} is abstract")

    @classmethod
    def enter(cls, value: Value) -> Value:
        """A value as one of this world: an eager tensor or state met by Symbols becomes one."""
        return value

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    if TYPE_CHECKING:  # installed by symgraph.ops

        def __add__(self, other: Any) -> Value: ...
        def __radd__(self, other: Any) -> Value: ...
        def __sub__(self, other: Any) -> Value: ...
        def __rsub__(self, other: Any) -> Value: ...
        def __mul__(self, other: Any) -> Value: ...
        def __rmul__(self, other: Any) -> Value: ...
        def __truediv__(self, other: Any) -> Value: ...
        def __rtruediv__(self, other: Any) -> Value: ...
        def __floordiv__(self, other: Any) -> Value: ...
        def __rfloordiv__(self, other: Any) -> Value: ...
        def __mod__(self, other: Any) -> Value: ...
        def __rmod__(self, other: Any) -> Value: ...
        def __pow__(self, other: Any) -> Value: ...
        def __rpow__(self, other: Any) -> Value: ...
        def __matmul__(self, other: Any) -> Value: ...
        def __rmatmul__(self, other: Any) -> Value: ...
        def __and__(self, other: Any) -> Value: ...
        def __rand__(self, other: Any) -> Value: ...
        def __or__(self, other: Any) -> Value: ...
        def __ror__(self, other: Any) -> Value: ...
        def __xor__(self, other: Any) -> Value: ...
        def __rxor__(self, other: Any) -> Value: ...
        def __lt__(self, other: Any) -> Value: ...
        def __le__(self, other: Any) -> Value: ...
        def __gt__(self, other: Any) -> Value: ...
        def __ge__(self, other: Any) -> Value: ...
        def __neg__(self) -> Value: ...
        def __abs__(self) -> Value: ...
        def __invert__(self) -> Value: ...
        def __getitem__(self, key: Any) -> Value: ...

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """`ndarray + value` becomes the op; any other numpy function is refused by name."""
        operator = UFUNC_OPERATORS.get(ufunc.__name__)
        if method == "__call__" and operator is not None and not options:
            return operator(*inputs)
        raise TypeError(
            f"np.{ufunc.__name__} was called on a symgraph {type(self).__name__}; use sg.{ufunc.__name__}, "
            "which keeps the graph and its gradients"
        )

    __hash__ = object.__hash__


EAGER: list[type[Value]] = []  # where plain arrays and numbers belong; put here by symgraph.eager
# numpy's name of a binary ufunc -> the op's function; filled by symgraph.ops.
UFUNC_OPERATORS: dict[str, Callable[..., Value]] = {}


def world_of(operands: tuple[Any, ...]) -> type[Value]:
    """The world an op on these operands happens in: static as soon as one is a Symbol."""
    found: type[Value] | None = None
    for operand in operands:
        if isinstance(operand, Value) and (found is None or operand.priority > found.priority):
            found = type(operand)
    return found if found is not None else EAGER[0]


def apply(op: Op, operands: tuple[Any, ...], **attrs: Any) -> Value:
    """Apply an op in the world of its operands. Arrays and numbers become constants of it."""
    world = world_of(operands)
    lifted = tuple(o if isinstance(o, Value) else world.lift(as_array(o)) for o in operands)
    return world.apply(op, lifted, attrs)


def as_array(data: Any, dtype: DType | None = None) -> np.ndarray:
    """An array of a supported dtype. Python numbers and lists become float32, int64 or bool."""
    if isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
        target = as_dtype(dtype if dtype is not None else array.dtype.newbyteorder("="))
    else:
        array = _from_python(data)
        target = dtype if dtype is not None else float32 if array.dtype.kind == "f" else array.dtype
    return np.asarray(array, dtype=as_dtype(target))


def _from_python(data: Any) -> np.ndarray:
    expected = f"expected a value, an array, or numbers in lists, got {data!r:.60}"
    try:
        array = np.asarray(data)
    except (ValueError, TypeError) as error:
        raise DTypeError(f"{expected}: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DTypeError(expected)
    if array.dtype.kind in "iu":
        array = array.astype(int64)
    return array


def promote(name: str, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give all operands one dtype by the array API's rules.

    Python and numpy scalars take the arrays' dtype (a float does not become an int). float32 with
    float64 is float64, int32 with int64 is int64. Mixed kinds raise DTypeError.
    """
    strong = [o.dtype for o in operands if isinstance(o, Value | np.ndarray)]
    if not strong:
        arrays = [as_array(o) for o in operands]
        dtype = common_dtype(name, [a.dtype for a in arrays])
        return tuple(a.astype(dtype) for a in arrays)
    dtype = common_dtype(name, strong)
    return tuple(_to_dtype(name, o, dtype) for o in operands)


def common_dtype(name: str, dtypes: list[DType]) -> DType:
    unique = list(dict.fromkeys(as_dtype(d) for d in dtypes))
    if len(unique) == 1:
        return unique[0]
    if all(d in FLOATS for d in unique) or all(d in INTEGERS for d in unique):
        return max(unique, key=lambda d: d.itemsize)
    kinds = " and ".join(str(d) for d in unique)
    raise DTypeError(f"{name}: cannot mix {kinds}; cast one side first, as in sg.cast(x, sg.float32)")


def _to_dtype(name: str, operand: Any, dtype: DType) -> Any:
    if isinstance(operand, Value):
        return operand if operand.dtype == dtype else CAST[0](operand, dtype)
    if isinstance(operand, np.ndarray):
        return operand.astype(dtype)
    if not isinstance(operand, Number):
        operand = as_array(operand)
        return operand.astype(common_dtype(name, [operand.dtype, dtype]))
    if isinstance(operand, float | np.floating) and dtype not in FLOATS:
        raise DTypeError(
            f"{name}: {operand!r} cannot take the dtype {dtype} of the other operand; "
            f"cast that one first, as in sg.cast(x, sg.float32)"
        )
    if dtype == bool_ and not isinstance(operand, bool | np.bool_):
        raise DTypeError(f"{name}: the number {operand!r} with a bool array; cast that one first")
    info = np.iinfo(dtype) if dtype in INTEGERS else None
    if info is not None and not info.min <= operand <= info.max:
        raise DTypeError(f"{name}: {operand!r} does not fit into {dtype}")
    return np.asarray(operand, dtype=dtype)


CAST: list[Callable[[Value, DType], Value]] = []  # the cast op, put here by symgraph.ops


def broadcast_shapes(name: str, shapes: list[Shape]) -> Shape:
    """The common shape by numpy's rules; a named dimension only meets itself or a literal 1."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Any] = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, start=rank - len(shape)):
            if extent == 1 or extent == result[axis]:
                continue
            if result[axis] != 1:
                raise ShapeError(
                    f"{name}: shapes do not broadcast, {' with '.join(map(str, map(list, shapes)))}: "
                    f"{result[axis]} and {extent} are different dimensions"
                )
            result[axis] = extent
    return tuple(result)
