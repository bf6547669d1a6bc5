"""`x + y`, `x[i]`, `x.sum()`: the operators and methods of values, in both worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symgraph.ops.arithmetic import (
    abs,
    add,
    divide,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    square,
    subtract,
)
from symgraph.ops.casting import cast, full_like
from symgraph.ops.elementary import pow, sqrt
from symgraph.ops.indexing import getitem
from symgraph.ops.layout import matrix_transpose, permute_dims, reshape
from symgraph.ops.linear import matmul
from symgraph.ops.logic import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_not,
    not_equal,
)
from symgraph.ops.reduce import max_, mean, min_, sum_
from symgraph.value import UFUNC_OPERATORS, Number, Value

LARGEST_POWER = 64  # up to here x ** n multiplies


def power(x: Any, y: Any) -> Any:
    """x ** y. A small whole number multiplies, so negative bases work; else `sg.pow`."""
    if isinstance(x, Value) and isinstance(y, Number):
        if float(y).is_integer() and -LARGEST_POWER <= y <= LARGEST_POWER:
            return _whole_power(x, int(y))
        if y == 0.5:
            return sqrt(x)
    return pow(x, y)


def _whole_power(x: Value, n: int) -> Any:
    """By repeated squaring."""
    if n == 0:
        return full_like(x, 1)
    if n < 0:
        return divide(1, _whole_power(x, -n))
    result = None
    factor: Any = x
    while n:
        if n & 1:
            result = factor if result is None else result * factor
        n >>= 1
        if n:
            factor = square(factor)
    return result


BINARY = {
    "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "floordiv": floor_divide,
    "mod": remainder, "pow": power, "matmul": matmul,
    "and": bitwise_and, "or": bitwise_or, "xor": bitwise_xor,
}  # fmt: skip
COMPARISONS = {
    "lt": less, "le": less_equal, "gt": greater, "ge": greater_equal, "eq": equal, "ne": not_equal,
}  # fmt: skip
UNARY = {"__neg__": negative, "__abs__": abs, "__invert__": logical_not}


def _transposed(x: Value) -> Value:
    """All axes in reverse order, as numpy's `T`."""
    return permute_dims(x, tuple(reversed(range(x.ndim))))


def _reshaped(x: Value, *shape: Any) -> Value:
    """`x.reshape(2, 3)` or `x.reshape((2, 3))`."""
    return reshape(x, shape[0] if len(shape) == 1 else shape)


METHODS = {
    "__getitem__": getitem, "reshape": _reshaped, "astype": cast,
    "sum": sum_, "mean": mean, "max": max_, "min": min_,
}  # fmt: skip
PROPERTIES = {"T": _transposed, "mT": matrix_transpose}


def _operator(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        if not isinstance(other, (Value, np.ndarray, list, *Number)):
            return NotImplemented
        return function(other, self) if reflected else function(self, other)

    return operator


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *arguments, **options: function(self, *arguments, **options)


def _install() -> None:
    for name, function in (BINARY | COMPARISONS).items():
        setattr(Value, f"__{name}__", _operator(function))
    for name, function in BINARY.items():
        setattr(Value, f"__r{name}__", _operator(function, reflected=True))
    for name, function in (UNARY | METHODS).items():
        setattr(Value, name, _method(function))
    for name, function in PROPERTIES.items():
        setattr(Value, name, property(function))
    # `ndarray + value` asks numpy first, which asks us by its own names of the operators.
    functions = (*BINARY.values(), *COMPARISONS.values(), maximum, minimum)
    UFUNC_OPERATORS.update({function.__name__: function for function in functions})


_install()
