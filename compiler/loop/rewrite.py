"""Rewriting loop IR: names replaced by expressions, loops replaced by statements, indices as linear forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from compiler.loop.grammar import Binary, Const, Expr, For, If, Index, Kernel, Local, Statement, binary
from compiler.loop.walk import expressions, operands, postorder, with_expressions, with_operands
from symgraph.errors import CompileError
from symgraph.types import int64


def substitute(expr: Expr, names: Mapping[str, Expr]) -> Expr:
    """The expression with loop indices replaced; shared parts stay shared. Index sums are folded again."""
    done: dict[int, Expr] = {}
    for part in postorder([expr]):
        if isinstance(part, Index):
            done[id(part)] = names.get(part.name, part)
            continue
        children = tuple(done[id(child)] for child in operands(part))
        changed = with_operands(part, children)
        if changed is not part and isinstance(changed, Binary) and isinstance(part, Binary):
            changed = _folded(changed)
        done[id(part)] = changed
    return done[id(expr)]


def _folded(expr: Binary) -> Expr:
    is_index = all(isinstance(side, (Index, Const)) and side.dtype == int64 for side in (expr.x, expr.y))
    return binary(expr.op, expr.x, expr.y) if is_index else expr


def substitute_all(body: tuple[Statement, ...], names: Mapping[str, Expr]) -> tuple[Statement, ...]:
    """A body with loop indices replaced. Loops inside must not bind any of the names again."""
    return tuple(_substituted(statement, names) for statement in body)


def _substituted(statement: Statement, names: Mapping[str, Expr]) -> Statement:
    new = tuple(substitute(expr, names) for expr in expressions(statement))
    statement = with_expressions(statement, new)
    if isinstance(statement, (For, If)):
        return replace(statement, body=substitute_all(statement.body, names))
    return statement


def find_loop(kernel: Kernel, index: str) -> tuple[For, tuple[For | If, ...]]:
    """The one loop over `index`, and the statements around it, outermost first.

    Raises CompileError where there is none, or more than one.
    """
    found: list[tuple[For, tuple[For | If, ...]]] = []
    pending: list[tuple[Statement, tuple[For | If, ...]]] = [(s, ()) for s in kernel.body]
    while pending:
        statement, around = pending.pop()
        if isinstance(statement, For) and statement.index == index:
            found.append((statement, around))
        if isinstance(statement, (For, If)):
            pending += [(inner, (*around, statement)) for inner in statement.body]
    if len(found) != 1:
        raise CompileError(f"kernel {kernel.name} has {len(found)} loops over {index}; expected one")
    return found[0]


def replace_loop(kernel: Kernel, index: str, change: Callable[[For], tuple[Statement, ...]]) -> Kernel:
    """The kernel with the one loop over `index` replaced by other statements."""
    target, _ = find_loop(kernel, index)
    return replace(kernel, body=_replaced(kernel.body, target, change(target)))


def _replaced(body: tuple[Statement, ...], old: For, new: tuple[Statement, ...]) -> tuple[Statement, ...]:
    result: list[Statement] = []
    for statement in body:
        if statement is old:
            result += new
        elif isinstance(statement, (For, If)):
            result.append(replace(statement, body=_replaced(statement.body, old, new)))
        else:
            result.append(statement)
    return tuple(result)


@dataclass(frozen=True, slots=True)
class Linear:
    """An index as `sum of factor * name + constant`; names are loop indices, extents and locals."""

    factors: Mapping[str, int]
    constant: int

    def without(self, name: str) -> Mapping[str, int]:
        return {key: factor for key, factor in self.factors.items() if key != name}


def linear(expr: Expr) -> Linear | None:
    """The linear form of an int64 expression, or None where it has none (division, loads, products)."""
    done: dict[int, Linear | None] = {}
    for part in postorder([expr]):
        done[id(part)] = _linear(part, [done[id(child)] for child in operands(part)])
    return done[id(expr)]


def _linear(expr: Expr, parts: list[Linear | None]) -> Linear | None:
    if isinstance(expr, Const):
        return Linear({}, int(expr.value))
    if isinstance(expr, (Index, Local)):
        return Linear({expr.name: 1}, 0)
    if not isinstance(expr, Binary):
        return None
    x, y = parts
    if x is None or y is None:
        return None
    if expr.op in ("add", "sub"):
        return _combined(x, y, 1 if expr.op == "add" else -1)
    if expr.op == "mul" and not (x.factors and y.factors):
        return _combined(Linear({}, 0), *((y, x.constant) if not x.factors else (x, y.constant)))
    return None


def _combined(x: Linear, y: Linear, scale: int) -> Linear:
    """x + scale * y."""
    factors = dict(x.factors)
    for name, factor in y.factors.items():
        factors[name] = factors.get(name, 0) + scale * factor
    return Linear({name: f for name, f in factors.items() if f}, x.constant + scale * y.constant)
