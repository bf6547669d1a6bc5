"""Several iterations of a loop at once, statement by statement: unroll and jam (Allen and Cocke 1972).

    for i: {A(i); for j: B(i, j)}   becomes   for i by 2: {A(i); A(i+1); for j: {B(i, j); B(i+1, j)}}

What the copies read alike is read once, and while one waits for a result the other has work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial, reduce

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Local,
    Statement,
    Store,
    binary,
    index,
)
from compiler.loop.rewrite import linear
from compiler.loop.walk import (
    expressions,
    operands,
    postorder,
    statements,
    with_expressions,
    with_operands,
)
from compiler.schedule.dependence import accesses, conflict
from symgraph.types import int64

COMBINE = {"add": "add", "multiply": "mul", "maximum": "maximum", "minimum": "minimum"}


def jam(loop: For, copies: int) -> tuple[Statement, ...]:
    """The loop with `copies` iterations at once, then the rest of its iterations one by one.

    The loop itself where that is not legal: where iterations depend on each other otherwise than by one
    accumulation into the same places, or bounds of inner loops differ.
    """
    if loop.mode != "serial" or _refusal(loop) is not None:
        return (loop,)
    size = index(copies * loop.step)
    distance = binary("sub", loop.stop, loop.start)
    whole = binary("add", loop.start, binary("mul", binary("div", distance, size), size))
    body = _together([_Copy(loop, number).body(loop.body) for number in range(copies)])
    together = For(loop.index, loop.start, whole, body, copies * loop.step)
    rest = replace(loop, start=whole)
    known = linear(distance)
    if known is not None and not known.factors and known.constant % (copies * loop.step) == 0:
        return (together,)
    return together, rest


def _refusal(loop: For) -> str | None:
    """Why the iterations may not be mixed."""
    inner = list(statements(loop.body))
    bound = {loop.index} | {s.name for s in inner if isinstance(s, Let)}
    for statement in inner:
        if isinstance(statement, For) and _names(expressions(statement)) & bound:
            return f"the bounds of {statement.index} differ from iteration to iteration of {loop.index}"
    touched: dict[str, list[str]] = {}
    for access in accesses(loop.body):
        touched.setdefault(access.buffer, []).append(access.kind)
    summed = frozenset(
        s.buffer.name
        for s in inner
        if isinstance(s, Accumulate)
        if touched[s.buffer.name] == [s.reducer] and loop.index not in _names(s.indices)
    )
    return conflict(loop, apart=summed)


def _names(exprs: Iterable[Expr]) -> set[str]:
    return {part.name for part in postorder(exprs) if isinstance(part, (Index, Local))}


class _Copy:
    """One iteration's statements: its index moved on, what it binds and allocates under names of its own."""

    def __init__(self, loop: For, number: int):
        self._index = loop.index
        self._place = Index(loop.index) + Const(number * loop.step, int64)
        inner = list(statements(loop.body)) if number else []
        names = {s.name for s in inner if isinstance(s, Let)}
        self._locals = {name: f"{name}.{number}" for name in names}
        self._buffers = {
            s.buffer.name: replace(s.buffer, name=f"{s.buffer.name}.{number}")
            for s in inner
            if isinstance(s, Alloc)
        }

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(self._statement(statement) for statement in body)

    def _statement(self, statement: Statement) -> Statement:
        statement = with_expressions(statement, self._expressions(expressions(statement)))
        if isinstance(statement, Let):
            return replace(statement, name=self._locals.get(statement.name, statement.name))
        if isinstance(statement, (Store, Accumulate, Alloc)):
            return replace(statement, buffer=self._buffer(statement.buffer))
        return replace(statement, body=self.body(statement.body))

    def _buffer(self, buffer: Buffer) -> Buffer:
        return self._buffers.get(buffer.name, buffer)

    def _expressions(self, roots: tuple[Expr, ...]) -> tuple[Expr, ...]:
        done: dict[int, Expr] = {}
        for part in postorder(roots):
            new = with_operands(part, tuple(done[id(child)] for child in operands(part)))
            if isinstance(new, Index) and new.name == self._index:
                new = self._place
            elif isinstance(new, Local) and new.name in self._locals:
                new = Local(self._locals[new.name], new.dtype)
            elif isinstance(new, Load) and new.buffer.name in self._buffers:
                new = replace(new, buffer=self._buffer(new.buffer))
            done[id(part)] = new
        return tuple(done[id(root)] for root in roots)


def _together(copies: list[tuple[Statement, ...]]) -> tuple[Statement, ...]:
    """Equal loops of the copies as one loop; all else one after the other."""
    mixed: list[Statement] = []
    for same in zip(*copies, strict=True):
        first = same[0]
        if isinstance(first, For):
            bodies = [statement.body for statement in same if isinstance(statement, For)]
            mixed.append(replace(first, body=_together(bodies)))
        else:
            mixed.extend(_merged(same))
    return tuple(mixed)


def _merged(same: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Accumulations of all copies into one place as one."""
    sums = [statement for statement in same if isinstance(statement, Accumulate)]
    if not sums or any((s.buffer, s.indices) != (sums[0].buffer, sums[0].indices) for s in sums):
        return same
    total = reduce(partial(binary, COMBINE[sums[0].reducer]), (s.value for s in sums))
    return (replace(sums[0], value=total),)
