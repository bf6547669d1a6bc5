"""Whether the iterations of a loop may run in another order, or at once.

Iterations are independent where each buffer that the body writes is only touched, in the body, at places that
differ between any two iterations: some axis is indexed by one linear form, the same in every access, in which
the loop's index moves further in a step than everything inside the body together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Local,
    Statement,
    Store,
)
from compiler.loop.rewrite import Linear, linear
from compiler.loop.walk import expressions, postorder, statements


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a buffer; `kind` is "read", "write", or the reducer of an Accumulate."""

    buffer: str
    indices: tuple[Expr, ...]
    kind: str


def accesses(body: tuple[Statement, ...]) -> Iterator[Access]:
    """All accesses of a body, in written order."""
    for statement in statements(body):
        for part in postorder(expressions(statement)):
            if isinstance(part, Load):
                yield Access(part.buffer.name, part.indices, "read")
        if isinstance(statement, Store):
            yield Access(statement.buffer.name, statement.indices, "write")
        elif isinstance(statement, Accumulate):
            yield Access(statement.buffer.name, statement.indices, statement.reducer)


def conflict(
    loop: For,
    moving: frozenset[str] = frozenset(),
    reductions: bool = False,
    apart: frozenset[str] = frozenset(),
) -> str | None:
    """Why iterations of the loop depend on each other, or None where they do not.

    `moving` are further indices that take several values between two iterations that are compared.
    With `reductions`, accumulating into a place that does not depend on the index is allowed. Buffers `apart`
    are taken as independent.
    """
    own = {s.buffer.name for s in statements(loop.body) if isinstance(s, Alloc)}
    touched: dict[str, list[Access]] = {}
    for access in accesses(loop.body):
        if access.buffer not in own | apart:
            touched.setdefault(access.buffer, []).append(access)
    spans = _spans(loop.body, moving)
    for name, found in touched.items():
        if all(access.kind == "read" for access in found) or _separates(loop, found, spans):
            continue
        if reductions and _is_reduction(loop, found):
            continue
        return f"iterations of {loop.index} may meet in {name}"
    return None


def _is_reduction(loop: For, found: list[Access]) -> bool:
    kinds = {access.kind for access in found}
    bound = _bound(loop)
    names = {p.name for a in found for p in postorder(a.indices) if isinstance(p, (Index, Local))}
    return len(kinds) == 1 and not kinds & {"read", "write"} and not names & bound


def _bound(loop: For) -> set[str]:
    inner = {s.index for s in statements(loop.body) if isinstance(s, For)}
    return {loop.index} | inner | {s.name for s in statements(loop.body) if isinstance(s, Let)}


def _spans(body: tuple[Statement, ...], moving: frozenset[str]) -> dict[str, int | None]:
    """How far each name bound inside may move: a number for loops of known length, else None."""
    spans: dict[str, int | None] = dict.fromkeys(moving)
    for statement in statements(body):
        if isinstance(statement, For):
            spans[statement.index] = _length(statement)
        elif isinstance(statement, Let):
            spans[statement.name] = None
    return spans


def _length(loop: For) -> int | None:
    """stop - start - 1 of a loop, or an upper bound of it; None where neither is known."""
    if not isinstance(loop.start, Const):
        return None
    limits = [
        int(part.value) for part in (loop.stop, *_minimum_sides(loop.stop)) if isinstance(part, Const)
    ]
    return max(0, min(limits) - int(loop.start.value) - 1) if limits else None


def _minimum_sides(expr: Expr) -> tuple[Expr, ...]:
    return (expr.x, expr.y) if isinstance(expr, Binary) and expr.op == "minimum" else ()


def _separates(loop: For, found: list[Access], spans: dict[str, int | None]) -> bool:
    """Whether one axis tells the iterations apart in all accesses."""
    ranks = {len(access.indices) for access in found}
    if len(ranks) != 1:
        return False
    return any(
        _axis_separates(loop, [linear(access.indices[axis]) for access in found], spans)
        for axis in range(ranks.pop())
    )


def _axis_separates(loop: For, forms: list[Linear | None], spans: dict[str, int | None]) -> bool:
    first = forms[0]
    if first is None or loop.index not in first.factors:
        return False
    step, outside = first.factors[loop.index], _outside(first, spans)
    low = high = None
    for form in forms:
        if form is None or form.factors.get(loop.index) != step or _outside(form, spans) != outside:
            return False
        reach = _reach(form, loop.index, spans)
        if reach is None:
            return False
        low = reach[0] if low is None else min(low, reach[0])
        high = reach[1] if high is None else max(high, reach[1])
    return low is not None and high is not None and high - low < abs(step) * loop.step


def _outside(form: Linear, spans: dict[str, int | None]) -> dict[str, int]:
    """The part of a linear form that stays the same in all iterations."""
    return {name: factor for name, factor in form.factors.items() if name not in spans}


def _reach(form: Linear, index: str, spans: dict[str, int | None]) -> tuple[int, int] | None:
    """The least and the greatest that the constant and the inner indices add."""
    low = high = form.constant
    for name, factor in form.factors.items():
        if name == index or name not in spans:
            continue
        span = spans[name]
        if span is None:
            return None
        low, high = low + min(0, factor * span), high + max(0, factor * span)
    return low, high

