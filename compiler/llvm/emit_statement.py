"""Statements of the loop IR as LLVM control flow; vector loops are in emit_vector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

from compiler.llvm.emit_expression import Expressions
from compiler.llvm.emit_memory import Memory, Storage
from compiler.llvm.emit_reduction import Reductions
from compiler.llvm.emit_transpose import turned_block
from compiler.llvm.emit_value import MEMORY, Value, as_vector, type_text
from compiler.llvm.emit_vector import Plan, VectorLoop, plan
from compiler.llvm.target import Target
from compiler.loop.grammar import Accumulate, Alloc, For, If, Let, Statement, Store
from symgraph.errors import CompileError
from symgraph.types import int64

LARGEST_ALLOC = 128 * 1024
ALIGNMENT = 64


class Statements:
    """Writes statements under the names, buffers and lanes now in force."""

    def __init__(self, memory: Memory, target: Target) -> None:
        self.memory = memory
        self.target = target
        self.writer = memory.writer
        self.expressions = Expressions(memory)
        self.reductions: Reductions | None = None
        self.vector_index: tuple[str, Value] | None = None
        self._plans: dict[int, Plan] = {}
        self._allocas: dict[tuple[int, int], str] = {}

    def run(self, statements: tuple[Statement, ...]) -> None:
        """Writes a body; names and buffers bound in it end with it."""
        names, storages = dict(self.expressions.names), dict(self.memory.storages)
        for statement in statements:
            self._statement(statement)
        self.expressions.names, self.memory.storages = names, storages

    def _statement(self, statement: Statement) -> None:
        evaluate = self.expressions.evaluate
        match statement:
            case Let(name, value):
                (self.expressions.names[name],) = evaluate(value)
            case Store(buffer, indices, value, streaming):
                *places, number = evaluate(*indices, value)
                self.memory.store(buffer, places, number, streaming)
            case Accumulate():
                self._accumulate(statement)
            case Alloc():
                self._alloc(statement)
            case If(condition, body):
                self._if(evaluate(condition)[0], body)
            case For():
                self._for(statement)

    def _accumulate(self, statement: Accumulate) -> None:
        if self.reductions is not None and self.reductions.holds(statement):
            (value,) = self.expressions.evaluate(statement.value)
            self.reductions.add(statement, value)
            return
        *places, value = self.expressions.evaluate(*statement.indices, statement.value)
        self.memory.accumulate(statement.buffer, places, value, statement.reducer)

    def _alloc(self, statement: Alloc) -> None:
        """Scratch in the entry block, so that a loop does not grow the stack; one place a statement."""
        buffer, lanes = statement.buffer, self.writer.lanes
        sizes = [extent for extent in buffer.shape if isinstance(extent, int)]
        if len(sizes) != len(buffer.shape):
            raise CompileError(f"Alloc {buffer.name}{buffer.shape} has named dimensions; use a kernel buffer")
        count = prod(sizes)
        if count * buffer.dtype.itemsize * max(1, lanes) > LARGEST_ALLOC:
            raise CompileError(
                f"Alloc {buffer.name} takes {count * buffer.dtype.itemsize} bytes; at most {LARGEST_ALLOC} "
                "fit on the stack: use a kernel buffer"
            )
        key = id(statement), lanes
        if key not in self._allocas:
            kind = type_text(buffer.dtype, lanes, MEMORY)
            self._allocas[key] = self.writer.early(f"alloca [{max(1, count)} x {kind}], align {ALIGNMENT}")
        self.memory.storages[buffer.name] = Storage(buffer, self._allocas[key], lanes)

    def _if(self, condition: Value, body: tuple[Statement, ...]) -> None:
        writer = self.writer
        if condition.uniform:
            if condition.scalar == "true":
                self.run(body)
            elif condition.scalar != "false":
                with writer.when(condition.scalar):
                    self.run(body)
            return
        mask = as_vector(writer, condition)
        if writer.mask is not None:
            mask = writer.op(f"select <{writer.lanes} x i1> {writer.mask}, <{writer.lanes} x i1> {mask}, "
                             f"<{writer.lanes} x i1> zeroinitializer")
        with writer.running(writer.lanes, mask, False):
            self.run(body)

    def _for(self, loop: For) -> None:
        if loop.mode == "parallel":
            raise CompileError(f"parallel loop {loop.index} must be the one outermost statement of a kernel")
        if loop.step < 1:
            raise CompileError(f"loop {loop.index} has step {loop.step}; expected a positive int")
        start, stop = self.bounds(loop)
        if loop.mode == "unroll":
            self._unroll(loop, start, stop)
        elif loop.mode == "vector":
            if self.writer.lanes:
                raise CompileError(f"vector loop {loop.index} stands inside another vector loop")
            self._vector(loop, start, stop)
        else:
            self.writer.loop(start.scalar, stop.scalar, loop.step, lambda index: self.step(loop, index))

    def _vector(self, loop: For, start: Value, stop: Value) -> None:
        def body(index: str, lane_step: int) -> None:
            self.vector_index = (loop.index, Value(int64, index, lane_step))
            self.step(loop, index, lane_step)
            self.vector_index = None

        if id(loop) not in self._plans:
            self._plans[id(loop)] = plan(loop)
        vector = VectorLoop(self.expressions, self.target, loop, self._plans[id(loop)], (start, stop), body)
        if vector.count == 0:
            return
        if vector.lanes == 1:
            body(start.scalar, 0)
            return
        self.reductions = vector.reductions
        vector.write()
        self.reductions = None

    def bounds(self, loop: For) -> tuple[Value, Value]:
        start, stop = self.expressions.evaluate(loop.start, loop.stop)
        if not (start.uniform and stop.uniform):
            raise CompileError(f"the bounds of loop {loop.index} depend on the vector loop around it")
        return start, stop

    def _unroll(self, loop: For, start: Value, stop: Value) -> None:
        first, last = start.literal, stop.literal
        if first is None or last is None:
            bounds = f"{loop.start} to {loop.stop}"
            raise CompileError(f"unrolled loop {loop.index} needs static bounds, not {bounds}")
        square = range(first, last, loop.step) == range(first, first + self.writer.lanes)
        around = self.vector_index
        if square and around is not None and turned_block(self.expressions, loop, first, around):
            return
        for number in range(first, last, loop.step):
            self.step(loop, str(number))

    def step(self, loop: For, index: str, lane_step: int = 0) -> None:
        """One run of a loop's body with its index at `index`, growing by `lane_step` a lane."""
        with self.bound(loop.index, Value(int64, index, lane_step)):
            self.run(loop.body)

    @contextmanager
    def bound(self, name: str, value: Value) -> Iterator[None]:
        names = self.expressions.names
        old = names.get(name)
        names[name] = value
        yield
        names = self.expressions.names
        if old is None:
            del names[name]
        else:
            names[name] = old
