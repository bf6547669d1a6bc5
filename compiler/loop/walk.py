"""Visiting the expressions of a loop kernel without recursion, each shared object once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from compiler.loop.grammar import (
    COMPARISON,
    Accumulate,
    Alloc,
    Binary,
    Call,
    Cast,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    Select,
    Statement,
    Store,
    Unary,
)
from symgraph.types import DType, bool_, float32, float64, int32, int64


def operands(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions, in the order they are written."""
    if isinstance(expr, Binary):
        return (expr.x, expr.y)
    if isinstance(expr, Load):
        return expr.indices
    if isinstance(expr, Call):
        return expr.arguments
    if isinstance(expr, (Unary, Cast)):
        return (expr.x,)
    if isinstance(expr, Select):
        return (expr.condition, expr.x, expr.y)
    return ()


def with_operands(expr: Expr, new: tuple[Expr, ...]) -> Expr:
    """The same operation on other operands; `expr` itself where none has changed."""
    if all(a is b for a, b in zip(operands(expr), new, strict=True)):
        return expr
    if isinstance(expr, Binary):
        return Binary(expr.op, *new)
    if isinstance(expr, Unary):
        return Unary(expr.op, *new)
    if isinstance(expr, Select):
        return Select(*new)
    if isinstance(expr, Call):
        return replace(expr, arguments=new)
    if isinstance(expr, Load):
        return replace(expr, indices=new)
    if isinstance(expr, Cast):
        return replace(expr, x=new[0])
    return expr


def dtype_of(expr: Expr) -> DType:
    """`expr.dtype` without recursion, for expressions of any depth."""
    as_integer: bool | None = None
    while True:
        if isinstance(expr, Binary) and expr.op in COMPARISON:
            return bool_
        if isinstance(expr, Call):
            expr = expr.arguments[0]
        elif isinstance(expr, (Binary, Select)):
            expr = expr.x
        elif isinstance(expr, Unary):
            if as_integer is None and expr.op.startswith("bits_as_"):
                as_integer = expr.op == "bits_as_int"
            expr = expr.x
        else:
            break
    if as_integer is None:
        return expr.dtype
    wide = expr.dtype.itemsize == 8
    return (int64 if wide else int32) if as_integer else (float64 if wide else float32)


def postorder(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every expression object under the roots once, operands before their users."""
    done: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        expr, expanded = stack.pop()
        if id(expr) in done:
            continue
        if expanded:
            done.add(id(expr))
            yield expr
        else:
            stack.append((expr, True))
            stack.extend((operand, False) for operand in reversed(operands(expr)))


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions a statement itself evaluates (not those of its body), in written order."""
    if isinstance(statement, For):
        return (statement.start, statement.stop)
    if isinstance(statement, If):
        return (statement.condition,)
    if isinstance(statement, Let):
        return (statement.value,)
    if isinstance(statement, (Store, Accumulate)):
        return (*statement.indices, statement.value)
    return ()


def with_expressions(statement: Statement, new: tuple[Expr, ...]) -> Statement:
    """The same statement over other expressions, in the order of `expressions`."""
    if isinstance(statement, For):
        return replace(statement, start=new[0], stop=new[1])
    if isinstance(statement, If):
        return replace(statement, condition=new[0])
    if isinstance(statement, Alloc):
        return statement
    if isinstance(statement, Let):
        return replace(statement, value=new[0])
    return replace(statement, indices=new[:-1], value=new[-1])


def statements(body: Iterable[Statement]) -> Iterator[Statement]:
    """Every statement of a body and of the loops and conditions in it, in written order."""
    for statement in body:
        yield statement
        if isinstance(statement, (For, If)):
            yield from statements(statement.body)


def called_functions(kernel: Kernel) -> set[str]:
    """Names of the functions that a kernel calls."""
    roots = [e for s in statements(kernel.body) for e in expressions(s)]
    return {e.function for e in postorder(roots) if isinstance(e, Call)}


def written_buffers(kernel: Kernel) -> set[str]:
    """Names of the buffers that a kernel stores into."""
    return {s.buffer.name for s in statements(kernel.body) if isinstance(s, (Store, Accumulate))}
