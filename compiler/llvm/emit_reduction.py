"""Reductions of a vector loop: partial results in registers, combined once after the loop.

An Accumulate is held in registers where its place is the same in every iteration and nothing else in the
loop touches its buffer. Only float sums carry `reassoc`; maximum and minimum do not depend on the order.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.llvm.emit_combine import across, combine_partial, identity_vector, running_only
from compiler.llvm.emit_memory import Memory
from compiler.llvm.emit_value import Value, type_text
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Expr,
    For,
    Index,
    Let,
    Load,
    Local,
    Reducer,
    Store,
)
from compiler.loop.walk import expressions, postorder
from compiler.loop.walk import statements as statements_of
from symgraph.types import FLOATS

Place = tuple[str, tuple[Expr, ...], Reducer]


def find_places(loop: For) -> dict[Place, Buffer]:
    """The reductions of a vector loop that may stay in registers until its end."""
    statements = list(statements_of(loop.body))
    sums = [s for s in statements if isinstance(s, Accumulate)]
    bound = {loop.index} | {s.index for s in statements if isinstance(s, For)}
    bound |= {s.name for s in statements if isinstance(s, Let)}
    read = {e.buffer.name for s in statements for e in postorder(expressions(s)) if isinstance(e, Load)}
    written = {s.buffer.name for s in statements if isinstance(s, (Store, Alloc))}
    moving = {s.buffer.name for s in sums if _names(s.indices) & bound}
    reducers: dict[str, set[Reducer]] = {}
    for s in sums:
        reducers.setdefault(s.buffer.name, set()).add(s.reducer)
    mixed = {name for name, kinds in reducers.items() if len(kinds) > 1}
    excluded = read | written | moving | mixed
    return {
        (s.buffer.name, s.indices, s.reducer): s.buffer for s in sums if s.buffer.name not in excluded
    }


def _names(exprs: tuple[Expr, ...]) -> set[str]:
    return {e.name for e in postorder(exprs) if isinstance(e, (Index, Local))}


@dataclass(slots=True)
class Slot:
    """Registers of one reduction: a partial vector for each copy of the body, the second level of a sum
    and what rounding took from that.
    """

    buffer: Buffer
    reducer: Reducer
    copies: list[str]
    total: str
    lost: str


class Reductions:
    """The partial results of one vector loop. `copy` tells which copy of the body is being written."""

    def __init__(self, memory: Memory, places: dict[Place, Buffer], lanes: int, copies: int) -> None:
        self.memory, self.writer, self.lanes = memory, memory.writer, lanes
        self.copy = 0
        self.slots = {
            place: Slot(buffer, place[2], self._registers(buffer, copies), *self._registers(buffer, 2))
            for place, buffer in places.items()
        }

    def begin(self) -> None:
        """Before the loop: every partial result is the reducer's identity."""
        for slot in self.slots.values():
            for register in (*slot.copies, slot.total, slot.lost):
                self._reset(slot, register)

    @property
    def sums_floats(self) -> bool:
        return any(s.reducer == "add" and s.buffer.dtype in FLOATS for s in self.slots.values())

    def holds(self, statement: Accumulate) -> bool:
        return (statement.buffer.name, statement.indices, statement.reducer) in self.slots

    def add(self, statement: Accumulate, value: Value) -> None:
        """Combines a value into the running copy; lanes that do not run keep theirs."""
        slot = self.slots[statement.buffer.name, statement.indices, statement.reducer]
        kind, text = self._kind(slot), running_only(self.writer, slot.reducer, value)
        register = slot.copies[self.copy]
        old = self.writer.op(f"load {kind}, ptr {register}")
        self.writer.line(f"store {kind} {self._combined(slot, old, text)}, ptr {register}")

    def flush(self) -> None:
        """Adds what the copies hold to the second level of a float sum, with Kahan's compensation."""
        for slot in self.slots.values():
            if slot.reducer != "add" or slot.buffer.dtype not in FLOATS:
                continue
            kind, op = self._kind(slot), self.writer.op
            total = op(f"load {kind}, ptr {slot.total}")
            lost = op(f"load {kind}, ptr {slot.lost}")
            value = op(f"fsub {kind} {self._sum(slot)}, {lost}")
            larger = op(f"fadd {kind} {total}, {value}")
            kept = op(f"fsub {kind} {larger}, {total}")
            lost = op(f"fsub {kind} {kept}, {value}")
            # At infinity the compensation is NaN, and would turn the sum into one.
            finite = op(f"fcmp ord {kind} {lost}, {lost}")
            lost = op(f"select <{self.lanes} x i1> {finite}, {kind} {lost}, {kind} zeroinitializer")
            self.writer.line(f"store {kind} {larger}, ptr {slot.total}")
            self.writer.line(f"store {kind} {lost}, ptr {slot.lost}")
            for register in slot.copies:
                self._reset(slot, register)

    def finish(self, places: dict[Place, list[Value]]) -> None:
        """After the loop, outside of its lanes: one number a reduction, combined into its place."""
        for place, slot in self.slots.items():
            kind, dtype = self._kind(slot), slot.buffer.dtype
            with self.writer.running(self.lanes, None, True):
                total = self.writer.op(f"load {kind}, ptr {slot.total}")
                total = self._combined(slot, total, self._sum(slot))
                number = across(self.writer, slot.reducer, dtype, total)
            self.memory.accumulate(slot.buffer, places[place], number, slot.reducer)

    def _sum(self, slot: Slot) -> str:
        kind = self._kind(slot)
        texts = [self.writer.op(f"load {kind}, ptr {register}") for register in slot.copies]
        while len(texts) > 1:
            pairs = zip(texts[::2], texts[1::2], strict=True)
            texts = [self._combined(slot, one, other) for one, other in pairs]
        return texts[0]

    def _combined(self, slot: Slot, one: str, other: str) -> str:
        return combine_partial(self.writer, slot.reducer, slot.buffer.dtype, one, other)

    def _registers(self, buffer: Buffer, count: int) -> list[str]:
        kind = type_text(buffer.dtype, self.lanes)
        return [self.writer.early(f"alloca {kind}") for _ in range(count)]

    def _reset(self, slot: Slot, register: str) -> None:
        neutral = identity_vector(slot.reducer, slot.buffer.dtype)
        self.writer.line(f"store {self._kind(slot)} {neutral}, ptr {register}")

    def _kind(self, slot: Slot) -> str:
        return type_text(slot.buffer.dtype, self.lanes)
