"""Running a kernel literally, one scalar at a time: the oracle for the code generator.

Slow on purpose, strict on purpose: every access is checked against its buffer's shape, scratch memory
starts as NaN (integers as a large negative number), parallel loops may run backwards, and vector loops
may run statement by statement across a group of lanes, so that an illegal mode shows as a wrong value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Statement,
    Store,
)
from compiler.loop.scalar import BINARY_MEANING, apply
from compiler.loop.walk import expressions, operands, postorder
from symgraph.dimension import evaluate
from symgraph.errors import CompileError

REDUCERS = {"add": "add", "multiply": "mul", "maximum": "maximum", "minimum": "minimum"}


def interpret(
    kernel: Kernel,
    arrays: Sequence[np.ndarray],
    extents: Sequence[int],
    *,
    lanes: int = 1,
    reverse: bool = False,
) -> None:
    """Runs the kernel, writing into `arrays`, which stand for its buffers in order.

    `lanes`: how many iterations of a vector loop advance together, statement by statement.
    `reverse`: run parallel loops from the last iteration to the first.
    Raises CompileError for arrays that do not fit, an access out of bounds, or an unknown name.
    """
    if len(arrays) != len(kernel.buffers) or len(extents) != len(kernel.extents):
        raise CompileError(
            f"kernel {kernel.name} takes {len(kernel.buffers)} arrays and {len(kernel.extents)} extents, "
            f"got {len(arrays)} and {len(extents)}"
        )
    sizes = dict(zip(kernel.extents, map(int, extents), strict=True))
    memory = {}
    for buffer, array in zip(kernel.buffers, arrays, strict=True):
        _check_array(kernel, buffer, array, sizes)
        memory[buffer.name] = array
    scope = _Scope(memory, {name: np.int64(size) for name, size in sizes.items()}, {})
    with np.errstate(all="ignore"):
        _Run(kernel.name, lanes, reverse).block(kernel.body, [scope])


@dataclass(slots=True)
class _Scope:
    """What names mean to one lane."""

    memory: dict[str, np.ndarray]
    indices: dict[str, np.int64]
    locals: dict[str, np.generic]

    def inner(self, index: str | None = None, at: int = 0) -> _Scope:
        """What names mean in a block, or in one iteration of a loop."""
        indices = self.indices if index is None else self.indices | {index: np.int64(at)}
        return _Scope(dict(self.memory), indices, dict(self.locals))


@dataclass(slots=True)
class _Run:
    kernel: str
    lanes: int
    reverse: bool
    plans: dict[int, _Plan] = field(default_factory=dict)

    def block(self, body: tuple[Statement, ...], scopes: list[_Scope]) -> None:
        """The statements in turn, each by all lanes; what they declare ends with the block."""
        scopes = [scope.inner() for scope in scopes]
        for statement in body:
            self.statement(statement, scopes)

    def statement(self, statement: Statement, scopes: list[_Scope]) -> None:
        values = [self.values(statement, scope) for scope in scopes]
        if isinstance(statement, For):
            self.loop(statement, scopes, values)
        elif isinstance(statement, If):
            taken = [scope for scope, (condition,) in zip(scopes, values, strict=True) if condition]
            self.block(statement.body, taken)
        else:
            for scope, results in zip(scopes, values, strict=True):
                self.effect(statement, scope, results)

    def values(self, statement: Statement, scope: _Scope) -> list[np.generic]:
        if id(statement) not in self.plans:
            self.plans[id(statement)] = _Plan.of(expressions(statement))
        return self.plans[id(statement)].run(scope, self.kernel)

    def effect(self, statement: Statement, scope: _Scope, values: list[np.generic]) -> None:
        if isinstance(statement, Let):
            scope.locals[statement.name] = values[0]
        elif isinstance(statement, Alloc):
            scope.memory[statement.buffer.name] = _poison(statement.buffer)
        elif isinstance(statement, (Store, Accumulate)):
            array = _array(statement.buffer, scope, self.kernel)
            place = _place(statement.buffer, array, values[:-1], scope, self.kernel)
            value = values[-1]
            if isinstance(statement, Accumulate):
                value = BINARY_MEANING[REDUCERS[statement.reducer]](array[place], value)
            array[place] = value

    def loop(self, loop: For, scopes: list[_Scope], bounds: list[list[np.generic]]) -> None:
        """Lanes that agree on the bounds go through the loop together."""
        groups: dict[tuple[int, int], list[_Scope]] = {}
        for scope, (start, stop) in zip(scopes, bounds, strict=True):
            groups.setdefault((int(start), int(stop)), []).append(scope)
        for (start, stop), members in groups.items():
            for together in self.iterations(loop, range(start, stop, loop.step)):
                inner = [s.inner(loop.index, i) for i in together for s in members]
                self.block(loop.body, inner)

    def iterations(self, loop: For, counter: range) -> Iterator[range]:
        """The iterations in the order they run; those in one range advance together."""
        if loop.mode == "parallel" and self.reverse:
            counter = counter[::-1]
        width = self.lanes if loop.mode == "vector" else 1
        return (counter[at : at + width] for at in range(0, len(counter), width))


@dataclass(frozen=True, slots=True)
class _Plan:
    """The steps that evaluate some expressions: each distinct object once, operands first."""

    steps: tuple[tuple[Expr, tuple[int, ...]], ...]
    results: tuple[int, ...]

    @staticmethod
    def of(roots: tuple[Expr, ...]) -> _Plan:
        slots: dict[int, int] = {}
        steps = []
        for expr in postorder(roots):
            steps.append((expr, tuple(slots[id(x)] for x in operands(expr))))
            slots[id(expr)] = len(slots)
        return _Plan(tuple(steps), tuple(slots[id(root)] for root in roots))

    def run(self, scope: _Scope, kernel: str) -> list[np.generic]:
        values: list = []
        for expr, parts in self.steps:
            values.append(_evaluate(expr, [values[n] for n in parts], scope, kernel))
        return [values[n] for n in self.results]


def _evaluate(expr: Expr, parts: list, scope: _Scope, kernel: str):
    if isinstance(expr, Const):
        return expr.dtype.type(expr.value)
    if isinstance(expr, Index):
        return _lookup(scope.indices, expr.name, "loop index or extent", kernel)
    if isinstance(expr, Local):
        return _lookup(scope.locals, expr.name, "let", kernel)
    if isinstance(expr, Load):
        array = _array(expr.buffer, scope, kernel)
        return array[_place(expr.buffer, array, parts, scope, kernel)]
    return apply(expr, parts)


def _lookup(names: dict, name: str, kind: str, kernel: str):
    if name not in names:
        known = ", ".join(names) or "none"
        raise CompileError(f"kernel {kernel}: no {kind} named {name!r} is in scope (there are: {known})")
    return names[name]


def _array(buffer: Buffer, scope: _Scope, kernel: str) -> np.ndarray:
    return _lookup(scope.memory, buffer.name, "buffer", kernel)


def _place(
    buffer: Buffer, array: np.ndarray, indices: list, scope: _Scope, kernel: str
) -> tuple[int, ...]:
    """The indices as ints, checked against the buffer's shape."""
    place = tuple(map(int, indices))
    if len(place) != array.ndim or not all(0 <= i < n for i, n in zip(place, array.shape, strict=True)):
        sizes = ", ".join(f"{name}={value}" for name, value in scope.indices.items())
        raise CompileError(
            f"kernel {kernel}: {buffer.name}{list(place)} is outside its shape {list(array.shape)}"
            f"{' where ' if sizes else ''}{sizes}"
        )
    return place


def _poison(buffer: Buffer) -> np.ndarray:
    shape = tuple(evaluate(extent, {}) for extent in buffer.shape)
    if buffer.dtype.kind == "f":
        return np.full(shape, np.nan, buffer.dtype)
    return np.full(shape, True if buffer.dtype.kind == "b" else -0x5A5A5A5A, buffer.dtype)


def _check_array(kernel: Kernel, buffer: Buffer, array: np.ndarray, sizes: dict[str, int]) -> None:
    shape = tuple(evaluate(extent, sizes) for extent in buffer.shape)
    if array.shape != shape or array.dtype != buffer.dtype:
        raise CompileError(
            f"kernel {kernel.name}: buffer {buffer.name} wants {buffer.dtype}{list(shape)}, "
            f"got {array.dtype}{list(array.shape)}"
        )
