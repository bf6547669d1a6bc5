"""Every op, declared once, and the operators of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symgraph.ops import arithmetic as a
from symgraph.ops.indexing import getitem
from symgraph.ops.layout import matrix_transpose, permute_dims, reshape
from symgraph.ops.linear import matmul
from symgraph.ops.reduce import back, max_, mean, min_, sum_
from symgraph.value import UFUNC_OPERATORS, Number, Value

__all__ = ["back"]

LARGEST_POWER = 64


def power(x: Any, y: Any) -> Any:
    """x ** y. A small whole number multiplies, so negative bases work; else `sg.pow`."""
    if isinstance(x, Value) and isinstance(y, Number) and float(y).is_integer() and abs(y) <= LARGEST_POWER:
        return _whole_power(x, int(y))
    if isinstance(x, Value) and isinstance(y, Number) and y == 0.5:
        return a.sqrt(x)
    return a.pow(x, y)


def _whole_power(x: Value, n: int) -> Any:
    if n == 0:
        return a.full_like(x, 1)
    if n < 0:
        return a.divide(1, _whole_power(x, -n))
    result = None
    factor: Any = x
    while n:
        if n & 1:
            result = factor if result is None else result * factor
        n >>= 1
        if n:
            factor = a.square(factor)
    return result


def _binary(name: str, function: Callable[..., Any]) -> None:
    def operator(self: Any, other: Any) -> Any:
        return function(self, other) if _operand(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        return function(other, self) if _operand(other) else NotImplemented

    setattr(Value, f"__{name}__", operator)
    setattr(Value, f"__r{name}__", reflected)


def _comparison(name: str, function: Callable[..., Any]) -> None:
    def operator(self: Any, other: Any) -> Any:
        return function(self, other) if _operand(other) else NotImplemented

    setattr(Value, f"__{name}__", operator)


def _operand(other: Any) -> bool:
    return isinstance(other, (Value, np.ndarray, list, *Number))


BINARY = {
    "add": a.add, "sub": a.subtract, "mul": a.multiply, "truediv": a.divide, "floordiv": a.floor_divide,
    "mod": a.remainder, "pow": power, "matmul": matmul,
    "and": a.bitwise_and, "or": a.bitwise_or, "xor": a.bitwise_xor,
}  # fmt: skip
COMPARISONS = {
    "lt": a.less, "le": a.less_equal, "gt": a.greater, "ge": a.greater_equal,
    "eq": a.equal, "ne": a.not_equal,
}  # fmt: skip
UNARY = {"neg": a.negative, "abs": a.abs, "invert": a.logical_not}


def _install() -> None:
    for name, function in BINARY.items():
        _binary(name, function)
    for name, function in COMPARISONS.items():
        _comparison(name, function)
    for name, function in UNARY.items():
        setattr(Value, f"__{name}__", lambda self, f=function: f(self))
    for function in (a.add, a.subtract, a.multiply, a.divide, a.less, a.less_equal, a.greater,
                     a.greater_equal, a.equal, a.not_equal, a.maximum, a.minimum):  # fmt: skip
        UFUNC_OPERATORS[function.op.name] = function
    UFUNC_OPERATORS["power"] = power
    UFUNC_OPERATORS["matmul"] = matmul
    _install_methods()


def _install_methods() -> None:
    """PyTorch's and numpy's most used methods, on both worlds."""
    methods: dict[str, Any] = {
        "__getitem__": getitem,
        "T": property(lambda self: permute_dims(self, tuple(reversed(range(self.ndim))))),
        "mT": property(matrix_transpose),
        "reshape": lambda self, *shape: reshape(self, shape[0] if len(shape) == 1 else shape),
        "astype": a.cast,
        "sum": sum_,
        "mean": mean,
        "max": max_,
        "min": min_,
    }
    for name, method in methods.items():
        if callable(method) and not isinstance(method, property):
            setattr(Value, name, lambda self, *args, f=method, **options: f(self, *args, **options))
        else:
            setattr(Value, name, method)
    Value.__hash__ = object.__hash__  # __eq__ is elementwise, identity is what tells values apart


_install()
