"""How much a launch of a kernel will do, as IR: whether sharing it among threads is worth it.

The number of scalar operations, by counting the nodes of every statement and multiplying by the trips of
the loops around it. Inside a loop its index counts as its start, so of tiled loops the first, full tile
stands for all. An estimate: it decides where a loop runs, never what it computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.llvm.runtime_text import Writer
from compiler.loop.grammar import (
    Binary,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Local,
    Statement,
)
from compiler.loop.walk import expressions, postorder
from symgraph.types import int64

# Waking a sleeping worker took 25 us, a worker that is awake 1 us. This many operations take 4 us (the
# multiply-adds of a contraction) to 20 us (elementwise over memory) on one core.
LEAST_SHARED = 300_000

# A constant, or the name of a double.
Number = float | str
OPERATIONS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}


def emit_work(writer: Writer, kernel: Kernel, extents: Sequence[str]) -> Number:
    """The operations of a launch with these extents (int64 operands), a double."""
    return _Estimate(writer, dict(zip(kernel.extents, extents, strict=True))).statements(kernel.body, {})


def emit_is_worth_sharing(writer: Writer, kernel: Kernel, extents: Sequence[str]) -> str:
    """The i1 that is true where a launch with these extents does enough."""
    work = emit_work(writer, kernel, extents)
    if isinstance(work, str):
        return writer.value(f"fcmp oge double {work}, {LEAST_SHARED}.0")
    return "true" if work >= LEAST_SHARED else "false"


class _Estimate:
    def __init__(self, writer: Writer, extents: Mapping[str, str]):
        self._writer = writer
        self._extents = extents
        self._known: dict[tuple[str, Number, Number], str] = {}

    def statements(self, body: Sequence[Statement], known: Mapping[str, Number]) -> Number:
        """Operations of a body; `known` are the values of the loop indices and locals around it."""
        names = dict(known)
        total: Number = 0.0
        for statement in body:
            if isinstance(statement, For):
                work = self._loop(statement, names)
            elif isinstance(statement, If):
                work = self.statements(statement.body, names)
            else:
                work = float(sum(1 for _ in postorder(expressions(statement))))
                if isinstance(statement, Let) and statement.value.dtype == int64:
                    names[statement.name] = self._value(statement.value, names)
            total = self._combine("add", total, work)
        return total

    def _loop(self, loop: For, known: Mapping[str, Number]) -> Number:
        start, stop = self._value(loop.start, known), self._value(loop.stop, known)
        distance = self._combine("maximum", self._combine("sub", stop, start), 0.0)
        trips = self._combine("div", distance, float(loop.step))
        return self._combine("mul", trips, self.statements(loop.body, {**known, loop.index: start}))

    def _value(self, expr: Expr, known: Mapping[str, Number]) -> Number:
        """A bound; what depends on more than sizes and loop indices counts as 0."""
        values: dict[int, Number] = {}
        for part in postorder([expr]):
            if isinstance(part, Const):
                values[id(part)] = float(part.value)
            elif isinstance(part, (Index, Local)):
                values[id(part)] = known[part.name] if part.name in known else self._extent(part.name)
            elif isinstance(part, Cast):
                values[id(part)] = values[id(part.x)]
            elif isinstance(part, Binary):
                values[id(part)] = self._combine(part.op, values[id(part.x)], values[id(part.y)])
            else:
                values[id(part)] = 0.0
        return values[id(expr)]

    def _extent(self, name: str) -> Number:
        operand = self._extents.get(name, "0")
        if not operand.startswith("%"):
            return float(operand)
        return self._once("extent", operand, 0.0, f"sitofp i64 {operand} to double")

    def _combine(self, op: str, x: Number, y: Number) -> Number:
        if isinstance(x, float) and isinstance(y, float):
            return _fold(op, x, y)
        if (op, y) in (("add", 0.0), ("sub", 0.0), ("mul", 1.0), ("div", 1.0)):
            return x
        if (op, x) in (("add", 0.0), ("mul", 1.0)):
            return y
        if op == "mul" and 0.0 in (x, y):
            return 0.0
        left, right = (f"{n:.17e}" if isinstance(n, float) else n for n in (x, y))
        if op in OPERATIONS:
            return self._once(op, x, y, f"{OPERATIONS[op]} double {left}, {right}")
        if op in ("maximum", "minimum"):
            comparison = "ogt" if op == "maximum" else "olt"
            first = self._once(comparison, x, y, f"fcmp {comparison} double {left}, {right}")
            return self._once(op, x, y, f"select i1 {first}, double {left}, double {right}")
        return 0.0

    def _once(self, op: str, x: Number, y: Number, text: str) -> str:
        key = (op, x, y)
        if key not in self._known:
            self._known[key] = self._writer.value(text)
        return self._known[key]


def _fold(op: str, x: float, y: float) -> float:
    if op == "div":
        return x / y if y else 0.0
    if op == "mod":
        return x % y if y else 0.0
    results = {"add": x + y, "sub": x - y, "mul": x * y, "maximum": max(x, y), "minimum": min(x, y)}
    return results.get(op, 0.0)
