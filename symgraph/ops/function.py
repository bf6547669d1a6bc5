"""What every kind of op shares: the public function around a declaration, and checks with the user's line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from symgraph.errors import DTypeError, SymgraphError
from symgraph.op import Op
from symgraph.symbol import placed
from symgraph.types import DTYPES, FLOATS, INTEGERS, DType, bool_
from symgraph.value import Value, as_array, world_of

NUMERIC = FLOATS + INTEGERS
BITS = (bool_, *INTEGERS)
ANY = DTYPES


class Function:
    """A public function backed by an op: call it on Symbols, Tensors, arrays and numbers.

    `f.vjp` declares the gradient rule; `f.op` is the declaration.
    """

    def __init__(self, op: Op, call: Callable[..., Value], source: Callable[..., Any]):
        self.op = op
        self._call = call
        functools.update_wrapper(self, source)
        self.__name__ = op.name

    def __call__(self, *operands: Any, **attrs: Any) -> Value:
        try:
            return self._call(*operands, **attrs)
        except SymgraphError as error:
            raise placed(error, operands) from None

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        self.op.vjp = rule
        return rule

    def __repr__(self) -> str:
        return f"<sg.{self.op.name}>"


def telling_where(function: Callable[..., Any]) -> Callable[..., Any]:
    """A public function made of other ops: its own errors name the user's line too."""

    @functools.wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        try:
            return function(*operands, **options)
        except SymgraphError as error:
            raise placed(error, operands) from None

    return call


def require(name: str, dtype: DType, accepted: tuple[DType, ...]) -> None:
    if dtype not in accepted:
        names = ", ".join(map(str, accepted))
        raise DTypeError(f"{name}: expected {names}, got {dtype}; cast with sg.cast(x, dtype)")


def lift_all(operands: tuple[Any, ...]) -> tuple[Value, ...]:
    """The operands as values of the world that they are in."""
    world = world_of(operands)
    return tuple(world.enter(o) if isinstance(o, Value) else world.lift(as_array(o)) for o in operands)


def lift_like(operand: Any, operands: tuple[Any, ...]) -> Value:
    """The operand as a value of the world that the operands are in."""
    world = world_of(operands)
    return world.enter(operand) if isinstance(operand, Value) else world.lift(as_array(operand))
