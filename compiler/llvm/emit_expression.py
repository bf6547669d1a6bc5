"""Expressions of the loop IR: walked without recursion, each shared part written once."""

from __future__ import annotations

from compiler.llvm.emit_arithmetic import binary, cast, select, unary
from compiler.llvm.emit_memory import Memory
from compiler.llvm.emit_rounding import fma, remainder, rounded
from compiler.llvm.emit_value import Value, literal_text
from compiler.loop.grammar import Binary, Call, Cast, Const, Expr, Index, Load, Local, Select, Unary
from compiler.loop.walk import operands
from symgraph.errors import CompileError
from symgraph.types import FLOATS

Memo = dict[int, Value]


class Expressions:
    """Values of expressions under the names now bound."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.writer = memory.writer
        self.names: dict[str, Value] = {}

    def evaluate(self, *exprs: Expr) -> list[Value]:
        """The values of expressions that belong to one statement: they share what they have in common."""
        memo: Memo = {}
        pending = list(reversed(exprs))
        while pending:
            expr = pending[-1]
            if id(expr) in memo:
                pending.pop()
                continue
            missing = [child for child in operands(expr) if id(child) not in memo]
            if missing:
                pending.extend(reversed(missing))
            else:
                memo[id(pending.pop())] = self._value(expr, memo)
        return [memo[id(expr)] for expr in exprs]

    def _value(self, expr: Expr, memo: Memo) -> Value:
        writer = self.writer
        parts = [memo[id(child)] for child in operands(expr)]
        match expr:
            case Const():
                return Value(expr.dtype, literal_text(expr.value, expr.dtype))
            case Index(name) | Local(name):
                return self._named(name)
            case Load(buffer):
                return self.memory.load(buffer, parts)
            case Unary("floor" | "round" as op):
                return rounded(writer, op, parts[0])
            case Unary(op):
                return unary(writer, op, parts[0])
            case Binary("mod") if parts[0].dtype in FLOATS:
                return remainder(writer, parts[0], parts[1])
            case Binary(op):
                return binary(writer, op, parts[0], parts[1])
            case Select():
                return select(writer, parts[0], parts[1], parts[2])
            case Cast():
                return cast(writer, parts[0], expr.dtype)
            case Call("fma"):
                return fma(writer, parts[0], parts[1], parts[2])
            case Call(function):
                raise CompileError(f"call of {function} reached the code generator; expand_math comes first")
        raise CompileError(f"not an expression of the loop IR: {expr!r}")

    def _named(self, name: str) -> Value:
        if name not in self.names:
            raise CompileError(f"name {name} is not bound here; expected a loop index, a Let or an extent")
        return self.names[name]
