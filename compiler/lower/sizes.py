"""Kernels that differ only in sizes become one kernel that is given its sizes: an optimizer's, for instance.

Only kernels that stream through memory: where registers are blocked or sums are kept, code made for its
sizes is faster. A size also stays a number where LLVM does much better with one: as a divisor in a vector
loop, and as a bound of an unrolled one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Load,
    Local,
    Statement,
    Store,
    extent_expr,
)
from compiler.loop.walk import (
    expressions,
    operands,
    postorder,
    statements,
    with_expressions,
    with_operands,
)
from symgraph.dimension import Dim, Extent
from symgraph.types import int64

Substitute = Callable[[int], Extent]


@dataclass(frozen=True, slots=True)
class Sized:
    """A kernel and the sizes it takes behind the extents it had before."""

    kernel: Kernel
    sizes: tuple[int, ...] = ()


def share_sizes(kernels: Iterable[Kernel]) -> dict[Kernel, Sized]:
    """What to run instead of each kernel; kernels that no other resembles stay as they are."""
    alike: dict[Hashable, dict[Kernel, tuple[int, ...]]] = {}
    found: dict[Kernel, Sized] = {}
    for kernel in kernels:
        found[kernel] = Sized(kernel)
        if _streams(kernel):
            outline, numbers = _outline(kernel)
            alike.setdefault(outline, {})[kernel] = numbers
    for members in alike.values():
        if len(members) > 1:
            found.update(_shared(members))
    return found


def _streams(kernel: Kernel) -> bool:
    return not any(isinstance(s, (Alloc, Accumulate)) for s in statements(kernel.body))


def _outline(kernel: Kernel) -> tuple[Hashable, tuple[int, ...]]:
    """All of the kernel but its name and its sizes; those sizes, in the order in which they are met."""
    numbers: list[int] = []

    def record(number: int) -> Extent:
        numbers.append(number)
        return 0

    sizes = _Sizes(record)
    sizes.kernel(kernel)
    return tuple(sizes.rows), tuple(numbers)


def _shared(members: dict[Kernel, tuple[int, ...]]) -> dict[Kernel, Sized]:
    """One kernel for all members; sizes that always agree are one, sizes that never differ stay numbers."""
    columns = list(zip(*members.values(), strict=True))
    names: dict[tuple[int, ...], str] = {}
    for column in columns:
        if len(set(column)) > 1 and column not in names:
            names[column] = f"size.{len(names)}"
    left = iter(columns)

    def substitute(number: int) -> Extent:
        name = names.get(next(left))
        return Dim.named(name) if name is not None else number

    first = next(iter(members))
    common = _Sizes(substitute).kernel(first)
    common = replace(common, extents=(*first.extents, *names.values()))
    return {kernel: Sized(common, tuple(column[i] for column in names)) for i, kernel in enumerate(members)}


class _Sizes:
    """Replaces the sizes of a kernel, one after another. `rows` is what it met besides, in that order."""

    def __init__(self, substitute: Substitute):
        self._substitute = substitute
        self._buffers: dict[str, Buffer] = {}
        self.rows: list[Hashable] = []

    def kernel(self, kernel: Kernel) -> Kernel:
        self.rows.append(kernel.extents)
        buffers = tuple(self._parameter(buffer) for buffer in kernel.buffers)
        return replace(kernel, buffers=buffers, body=self._body(kernel.body, False))

    def _parameter(self, buffer: Buffer) -> Buffer:
        named = tuple(e if isinstance(e, Dim) else None for e in buffer.shape)
        self.rows.append((buffer.name, buffer.dtype, named))
        shape = tuple(e if isinstance(e, Dim) else self._substitute(e) for e in buffer.shape)
        self._buffers[buffer.name] = made = replace(buffer, shape=shape)
        return made

    def _body(self, body: tuple[Statement, ...], vector: bool) -> tuple[Statement, ...]:
        self.rows.append(len(body))
        return tuple(self._statement(statement, vector) for statement in body)

    def _statement(self, statement: Statement, vector: bool) -> Statement:
        self.rows.append(_own_fields(statement))
        unrolled = isinstance(statement, For) and statement.mode == "unroll"
        new = tuple(self._expression(e, vector, unrolled) for e in expressions(statement))
        statement = with_expressions(statement, new)
        if isinstance(statement, Store):
            return replace(statement, buffer=self._buffers[statement.buffer.name])
        if isinstance(statement, For):
            inner = self._body(statement.body, vector or statement.mode == "vector")
            return replace(statement, body=inner)
        if isinstance(statement, If):
            return replace(statement, body=self._body(statement.body, vector))
        return statement

    def _expression(self, root: Expr, vector: bool, fixed: bool) -> Expr:
        """In rows, operands are the numbers of their own rows, so that equal rows mean equal sharing."""
        parts = list(postorder([root]))
        kept = {id(e.y) for e in parts if vector and isinstance(e, Binary) and e.op in ("div", "mod")}
        new: dict[int, Expr] = {}
        numbers: dict[int, int] = {}
        for expr in parts:
            numbers[id(expr)] = len(numbers)
            if isinstance(expr, Const) and expr.dtype == int64 and not fixed and id(expr) not in kept:
                self.rows.append("size")
                new[id(expr)] = extent_expr(self._substitute(int(expr.value)))
                continue
            below = operands(expr)
            self.rows.append((_own_fields(expr), tuple(numbers[id(part)] for part in below)))
            made = with_operands(expr, tuple(new[id(part)] for part in below))
            if isinstance(made, Load):
                made = replace(made, buffer=self._buffers[made.buffer.name])
            new[id(expr)] = made
        return new[id(root)]


def _own_fields(item: Expr | Statement) -> Hashable:
    """What an expression or a statement is apart from the expressions and statements in it."""
    if isinstance(item, (Const, Index, Local)):
        # The text tells 0.0 from -0.0, which are equal.
        return type(item).__name__, repr(item)
    names = ("op", "function", "index", "name", "step", "mode", "streaming")
    fields = tuple(getattr(item, name, None) for name in names)
    buffer = getattr(item, "buffer", None)
    dtype = item.dtype if isinstance(item, Cast) else None
    return type(item).__name__, fields, buffer.name if buffer is not None else None, dtype
