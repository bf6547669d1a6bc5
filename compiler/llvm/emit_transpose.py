"""Square blocks turned in registers: an unrolled store across the lanes of a vector loop.

    for i in range(L), vector:
        for j in range(L), unroll:
            out[i, j] = value(i, j)

with L the lanes of the vector, writes L vectors of `j` after turning L vectors of `i`, in place of L * L
single stores. It holds wherever the place is linear in both, with step 1 in `j`.
"""

from __future__ import annotations

from compiler.llvm.emit_arithmetic import binary
from compiler.llvm.emit_expression import Expressions
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import Value, as_vector, integer, type_text
from compiler.loop.grammar import Buffer, For, Index, Local, Store
from compiler.loop.walk import postorder
from symgraph.types import bool_, int64

LEAST = 4  # lanes below which single stores are as good


def turned_block(evaluator: Expressions, loop: For, first: int, vector_index: tuple[str, Value]) -> bool:
    """Writes an unrolled loop as a turned block, and tells whether that was possible."""
    writer = evaluator.writer
    store = loop.body[0] if len(loop.body) == 1 else None
    if not isinstance(store, Store) or store.buffer.dtype == bool_ or store.streaming:
        return False
    if writer.mask is not None or writer.lanes < LEAST:
        return False
    if not _depends_on_indices_only(evaluator, store, loop.index, vector_index[0]):
        return False
    mark = len(writer.lines)
    down = _flat(evaluator, store, {loop.index: integer(first)})
    starts = _starts(evaluator, store, (loop.index, first), vector_index, down)
    if not starts:
        del writer.lines[mark:]
        return False
    rows = [_row(evaluator, store, loop.index, first + number) for number in range(writer.lanes)]
    view = Buffer(store.buffer.name, store.buffer.dtype, (0,))
    for lane, text in enumerate(transposed(writer, rows, type_text(store.buffer.dtype, writer.lanes))):
        evaluator.memory.store(view, [starts[lane]], Value(store.buffer.dtype, vector=text))
    return True


def _starts(
    evaluator: Expressions,
    store: Store,
    unrolled: tuple[str, int],
    vector_index: tuple[str, Value],
    down: Value,
) -> list[Value]:
    """Where each lane's vector begins; empty where the place is not of the form that can be turned."""
    writer, (name, index) = evaluator.writer, vector_index
    along = {unrolled[0]: Value(int64, str(unrolled[1]), 1)}
    first = _flat(evaluator, store, along | {name: Value(int64, index.scalar)})
    if first.vector or first.step != 1 or (not down.vector and abs(down.step) <= 1):
        return []
    if not down.vector:
        steps = (integer(lane * down.step) for lane in range(writer.lanes))
        return [binary(writer, "add", first, step) for step in steps]
    base = Value(int64, index.scalar)
    lanes = (binary(writer, "add", base, integer(lane * index.step)) for lane in range(writer.lanes))
    return [_flat(evaluator, store, along | {name: lane}) for lane in lanes]


def _depends_on_indices_only(evaluator: Expressions, store: Store, *indices: str) -> bool:
    """Whether every other name in the place is the same in all lanes."""
    named = (part for part in postorder(store.indices) if isinstance(part, (Index, Local)))
    others = (evaluator.names.get(part.name) for part in named if part.name not in indices)
    return all(value is not None and value.uniform for value in others)


def _flat(evaluator: Expressions, store: Store, names: dict[str, Value]) -> Value:
    saved = evaluator.names
    evaluator.names = saved | names
    flat = evaluator.memory.flat(store.buffer, evaluator.evaluate(*store.indices))
    evaluator.names = saved
    return flat


def _row(evaluator: Expressions, store: Store, index: str, number: int) -> str:
    saved = evaluator.names
    evaluator.names = saved | {index: integer(number)}
    (value,) = evaluator.evaluate(store.value)
    evaluator.names = saved
    return as_vector(evaluator.writer, value)


def transposed(writer: Writer, rows: list[str], kind: str) -> list[str]:
    """Rows and columns of a square block exchanged, in log2(L) steps (Eklundh 1972)."""
    lanes = len(rows)
    block = 1
    while block < lanes:
        for top in (row for row in range(lanes) if not row & block):
            pair = rows[top], rows[top + block]
            low = [lane if not lane & block else lanes + lane - block for lane in range(lanes)]
            rows[top] = _shuffle(writer, kind, pair, low)
            rows[top + block] = _shuffle(writer, kind, pair, [lane + block for lane in low])
        block *= 2
    return rows


def _shuffle(writer: Writer, kind: str, pair: tuple[str, str], order: list[int]) -> str:
    numbers = ", ".join(f"i32 {number}" for number in order)
    return writer.op(f"shufflevector {kind} {pair[0]}, {kind} {pair[1]}, <{len(order)} x i32> <{numbers}>")
