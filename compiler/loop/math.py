"""Bodies for the functions a kernel calls, written in the loop IR itself.

A body maps argument expressions to a result expression, in f32 and f64, and vectorizes like any other
arithmetic. To add a function: name it in grammar.CALLS, write its body, list it in BODIES.

Largest error in ULP, of all 2^32 floats in f32 (against float64) and of samples in f64 (against x87):

         exp   expm1  log   log1p  tanh  sigmoid  erf   sin   cos   rsqrt  pow
    f32  0.89  1.48   0.85  1.43   1.04  1.65     1.08  0.51  0.51  1.50   0.51 (samples)
    f64  0.9   1.6    0.9   1.4    1.4   1.7      1.3   0.8   0.8   1.50   4e-14 relative

NaN, infinities, signed zeros and subnormals come out as in C. On a target without fused multiply-add, where
fma may be emulated as two roundings, f32 errors grow by up to 0.3; f64 sin, cos and pow lose more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compiler.loop.grammar import (
    Call,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Local,
    Statement,
    Unary,
)
from compiler.loop.math_exponential import erf, exp, expm1, sigmoid, tanh
from compiler.loop.math_logarithm import log, log1p, power
from compiler.loop.math_trigonometric import cos, sin
from compiler.loop.walk import (
    dtype_of,
    expressions,
    operands,
    postorder,
    statements,
    with_expressions,
    with_operands,
)
from symgraph.errors import CompileError


def rsqrt(x: Expr) -> Expr:
    return 1.0 / Unary("sqrt", x)


BODIES: dict[str, Callable[..., Expr]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "sin": sin,
    "cos": cos,
    "pow": power,
    "rsqrt": rsqrt,
}


def expand_math(kernel: Kernel) -> Kernel:
    """The kernel with every call but fma replaced by its body, in Lets before the statement that calls.

    Everything a body uses twice becomes a Let, so no expression grows with the number of calls in it.
    Raises CompileError for a call without a body.
    """
    if not any(_is_expandable(e) for s in statements(kernel.body) for e in postorder(expressions(s))):
        return kernel
    return replace(kernel, body=_Expansion(kernel).block(kernel.body))


def _is_expandable(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.function != "fma"


class _Expansion:
    def __init__(self, kernel: Kernel):
        inside = list(statements(kernel.body))
        self.taken = {s.name for s in inside if isinstance(s, Let)}
        self.taken |= {s.index for s in inside if isinstance(s, For)} | set(kernel.extents)
        self.calls = 0

    def block(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        result: list[Statement] = []
        for statement in body:
            if isinstance(statement, (For, If)):
                statement = replace(statement, body=self.block(statement.body))
            result.extend(self.statement(statement))
        return tuple(result)

    def statement(self, statement: Statement) -> list[Statement]:
        roots = expressions(statement)
        lets: list[Statement] = []
        new: dict[int, Expr] = {}
        for expr in postorder(roots):
            rebuilt = with_operands(expr, tuple(new[id(x)] for x in operands(expr)))
            if isinstance(rebuilt, Call) and _is_expandable(rebuilt):
                rebuilt = self.call(rebuilt, lets)
            new[id(expr)] = rebuilt
        return [*lets, with_expressions(statement, tuple(new[id(root)] for root in roots))]

    def call(self, call: Call, lets: list[Statement]) -> Local:
        """Appends the Lets of one call; the last of them is its result."""
        if call.function not in BODIES:
            raise CompileError(f"function {call.function!r} has no body; there are {', '.join(BODIES)}")
        name = self.name(call.function)
        arguments = [
            x if isinstance(x, (Const, Local)) else _let(f"{name}_x{number}", x, lets)
            for number, x in enumerate(call.arguments)
        ]
        return _flatten(name, BODIES[call.function](*arguments), lets)

    def name(self, function: str) -> str:
        """A name such that neither it nor it and a suffix is taken."""
        while True:
            name = f"{function}.{self.calls}"
            self.calls += 1
            if not any(taken.startswith(name) for taken in self.taken):
                return name


def _let(name: str, value: Expr, lets: list[Statement]) -> Local:
    lets.append(Let(name, value))
    return Local(name, dtype_of(value))


def _flatten(name: str, root: Expr, lets: list[Statement]) -> Local:
    """Lets for what the expression uses more than once, and for itself."""
    order = list(postorder((root,)))
    uses: dict[int, int] = {}
    for expr in order:
        for operand in operands(expr):
            uses[id(operand)] = uses.get(id(operand), 0) + 1
    new: dict[int, Expr] = {}
    for expr in order:
        rebuilt = with_operands(expr, tuple(new[id(x)] for x in operands(expr)))
        if uses.get(id(expr), 0) > 1 and not isinstance(expr, (Const, Index, Local)):
            rebuilt = _let(f"{name}_{len(lets)}", rebuilt, lets)
        new[id(expr)] = rebuilt
    return _let(name, new[id(root)], lets)
