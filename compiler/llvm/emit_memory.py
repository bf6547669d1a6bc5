"""Buffers of the function being written: addresses, loads, stores and read-modify-writes.

How a vector loop's lanes meet memory follows from how the flat index grows from lane to lane:
0 is one scalar for all, 1 a vector, -1 a reversed vector, anything else a gather or a scatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.llvm.emit_arithmetic import binary
from compiler.llvm.emit_combine import across, combine, running_only
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import (
    MEMORY,
    Value,
    as_vector,
    broadcast,
    integer,
    parameter,
    result,
    suffix_text,
    type_text,
)
from compiler.loop.grammar import Buffer, Reducer
from symgraph.dimension import Dim, Extent, Shape, product
from symgraph.errors import CompileError
from symgraph.types import bool_, int64


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a buffer begins. `lanes`: made inside a vector loop, each element is that many lanes."""

    buffer: Buffer
    pointer: str
    lanes: int = 0

    @property
    def align(self) -> int:
        return self.buffer.dtype.itemsize

    @property
    def element(self) -> str:
        return MEMORY[self.buffer.dtype]


class Memory:
    """The buffers in scope and the instructions that reach them."""

    def __init__(self, writer: Writer, vector_bytes: int) -> None:
        self.writer = writer
        self.storages: dict[str, Storage] = {}
        self.vector_bytes = vector_bytes
        self._extents: dict[Extent, str] = {}
        self._strides: dict[Shape, list[Value]] = {}
        self._dummy: dict[str, str] = {}

    def extent(self, extent: Extent) -> Value:
        """A size as a value; polynomials in named dimensions are computed once, on entry."""
        if not isinstance(extent, Dim):
            return integer(extent)
        if extent not in self._extents:
            self._extents[extent] = self._polynomial(extent)
        return Value(int64, self._extents[extent])

    def _polynomial(self, extent: Dim) -> str:
        total = "0"
        for monomial, factor in extent.terms:
            term = str(factor)
            for name in monomial:
                term = self.writer.early(f"mul i64 {term}, {parameter('x', name)}")
            total = self.writer.early(f"add i64 {total}, {term}")
        return total

    def flat(self, buffer: Buffer, indices: Sequence[Value]) -> Value:
        """The row-major position of an element."""
        return self._place(buffer, indices)[1]

    def load(self, buffer: Buffer, indices: Sequence[Value]) -> Value:
        storage, flat = self._place(buffer, indices)
        bytes_or_number = self._load(storage, flat)
        if buffer.dtype != bool_:
            return bytes_or_number
        lanes = 0 if bytes_or_number.uniform else self.writer.lanes
        kind = type_text(bool_, lanes, MEMORY)
        text = bytes_or_number.vector or bytes_or_number.scalar
        zero = "zeroinitializer" if lanes else "0"
        return result(bool_, lanes, self.writer.op(f"icmp ne {kind} {text}, {zero}"))

    def _load(self, storage: Storage, flat: Value) -> Value:
        writer, dtype, align = self.writer, storage.buffer.dtype, storage.align
        if storage.lanes and flat.uniform:
            kind = type_text(dtype, storage.lanes, MEMORY)
            pointer = self._address(storage, flat.scalar, kind)
            return Value(dtype, vector=writer.op(f"load {kind}, ptr {pointer}"))
        if flat.uniform and not storage.lanes:
            pointer = self._guarded(self._address(storage, flat.scalar), storage.element)
            return Value(dtype, writer.op(f"load {storage.element}, ptr {pointer}, align {align}"))
        if not flat.vector and flat.step in (1, -1) and not storage.lanes:
            return Value(dtype, vector=self._load_row(storage, flat))
        return Value(dtype, vector=self._gather(storage, flat))

    def _load_row(self, storage: Storage, flat: Value) -> str:
        writer, lanes = self.writer, self.writer.lanes
        kind = type_text(storage.buffer.dtype, lanes, MEMORY)
        first = flat.scalar
        if flat.step < 0:
            first = writer.op(f"sub i64 {first}, {lanes - 1}")
        pointer = self._address(storage, first)
        if writer.mask is None:
            row = writer.op(f"load {kind}, ptr {pointer}, align {storage.align}")
        else:
            mask = writer.mask if flat.step > 0 else self._reversed(writer.mask, f"<{lanes} x i1>")
            name = f"llvm.masked.load.{self._suffix(storage)}.p0"
            row = writer.call(kind, name, [
                ("ptr", pointer), ("i32", str(storage.align)), (f"<{lanes} x i1>", mask),
                (kind, "zeroinitializer"),
            ])
        return row if flat.step > 0 else self._reversed(row, kind)

    def _gather(self, storage: Storage, flat: Value) -> str:
        writer, lanes = self.writer, self.writer.lanes
        kind = type_text(storage.buffer.dtype, lanes, MEMORY)
        name = f"llvm.masked.gather.{self._suffix(storage)}.v{lanes}p0"
        return writer.call(kind, name, [
            (f"<{lanes} x ptr>", self._addresses(storage, flat)), ("i32", str(storage.align)),
            (f"<{lanes} x i1>", self._mask()), (kind, "zeroinitializer"),
        ])

    def store(self, buffer: Buffer, indices: Sequence[Value], value: Value, streaming: bool = False) -> None:
        storage, flat = self._place(buffer, indices)
        writer, dtype = self.writer, buffer.dtype
        if storage.lanes and flat.uniform:
            self._store_private(storage, flat, value)
        elif flat.uniform and value.uniform and not storage.lanes:
            pointer = self._guarded(self._address(storage, flat.scalar), storage.element)
            text = self._bytes(value.scalar, 0) if dtype == bool_ else value.scalar
            writer.line(f"store {storage.element} {text}, ptr {pointer}, align {storage.align}")
        elif not flat.vector and flat.step in (1, -1) and not storage.lanes:
            self._store_row(storage, flat, self._vector(value), streaming)
        else:
            self._scatter(storage, flat, self._vector(value))

    def _store_private(self, storage: Storage, flat: Value, value: Value) -> None:
        writer, lanes = self.writer, storage.lanes
        kind = type_text(storage.buffer.dtype, lanes, MEMORY)
        pointer = self._address(storage, flat.scalar, kind)
        text = self._vector(value)
        if writer.mask is not None:
            old = writer.op(f"load {kind}, ptr {pointer}")
            text = writer.op(f"select <{lanes} x i1> {writer.mask}, {kind} {text}, {kind} {old}")
        writer.line(f"store {kind} {text}, ptr {pointer}")

    def _store_row(self, storage: Storage, flat: Value, text: str, streaming: bool) -> None:
        writer, lanes = self.writer, self.writer.lanes
        kind, first, mask = type_text(storage.buffer.dtype, lanes, MEMORY), flat.scalar, writer.mask
        if flat.step < 0:
            first = writer.op(f"sub i64 {first}, {lanes - 1}")
            text = self._reversed(text, kind)
            mask = mask and self._reversed(mask, f"<{lanes} x i1>")
        pointer = self._address(storage, first)
        if mask is not None:
            writer.call("void", f"llvm.masked.store.{self._suffix(storage)}.p0", [
                (kind, text), ("ptr", pointer), ("i32", str(storage.align)), (f"<{lanes} x i1>", mask),
            ])
        elif streaming and lanes * storage.align == self.vector_bytes:
            self._stream(kind, text, pointer, storage.align)
        else:
            writer.line(f"store {kind} {text}, ptr {pointer}, align {storage.align}")

    def _stream(self, kind: str, text: str, pointer: str, align: int) -> None:
        """A non-temporal store where the address is aligned to the vector, which the hardware demands."""
        writer, size = self.writer, self.vector_bytes
        writer.streams = True
        address = writer.op(f"ptrtoint ptr {pointer} to i64")
        low = writer.op(f"and i64 {address}, {size - 1}")
        aligned = writer.op(f"icmp eq i64 {low}, 0")
        past, plain, after = writer.fresh("past"), writer.fresh("plain"), writer.fresh("after")
        writer.branch(aligned, past, plain)
        writer.start_block(past)
        writer.line(f"store {kind} {text}, ptr {pointer}, align {size}, !nontemporal !{{i32 1}}")
        writer.jump(after)
        writer.start_block(plain)
        writer.line(f"store {kind} {text}, ptr {pointer}, align {align}")
        writer.jump(after)
        writer.start_block(after)

    def _scatter(self, storage: Storage, flat: Value, text: str) -> None:
        """Lanes that share a place store in order: the last one stays."""
        writer, lanes = self.writer, self.writer.lanes
        kind = type_text(storage.buffer.dtype, lanes, MEMORY)
        writer.call("void", f"llvm.masked.scatter.{self._suffix(storage)}.v{lanes}p0", [
            (kind, text), (f"<{lanes} x ptr>", self._addresses(storage, flat)),
            ("i32", str(storage.align)), (f"<{lanes} x i1>", self._mask()),
        ])

    def accumulate(self, buffer: Buffer, indices: Sequence[Value], value: Value, reducer: Reducer) -> None:
        """Combines into memory; lanes whose places may coincide take turns."""
        storage, flat = self._place(buffer, indices)
        view = Buffer(buffer.name, buffer.dtype, (0,))
        if self.writer.lanes and not storage.lanes:
            if flat.vector:
                self._take_turns(storage, flat, value, reducer)
                return
            if flat.step == 0:
                value = across(self.writer, reducer, value.dtype, running_only(self.writer, reducer, value))
        old = self.load(view, [flat])
        self.store(view, [flat], combine(self.writer, reducer, old, value))

    def _take_turns(self, storage: Storage, flat: Value, value: Value, reducer: Reducer) -> None:
        writer, lanes = self.writer, self.writer.lanes
        places, numbers, mask = as_vector(writer, flat), as_vector(writer, value), self._mask()
        kind, dtype = type_text(value.dtype, lanes), value.dtype
        view = Buffer(storage.buffer.name, dtype, (0,))

        def turn(lane: str) -> None:
            runs = writer.op(f"extractelement <{lanes} x i1> {mask}, i64 {lane}")
            with writer.when(runs), writer.running(0, None, True):
                place = Value(int64, writer.op(f"extractelement <{lanes} x i64> {places}, i64 {lane}"))
                number = Value(dtype, writer.op(f"extractelement {kind} {numbers}, i64 {lane}"))
                old = self.load(view, [place])
                self.store(view, [place], combine(self.writer, reducer, old, number))

        writer.loop("0", str(lanes), 1, turn)

    def _place(self, buffer: Buffer, indices: Sequence[Value]) -> tuple[Storage, Value]:
        """The storage and the flat row-major index. Raises CompileError for a buffer out of scope."""
        storage = self.storages.get(buffer.name)
        if storage is None:
            raise CompileError(f"buffer {buffer.name} is not in scope; declare it as a parameter or an Alloc")
        if len(indices) != len(buffer.shape):
            raise CompileError(
                f"buffer {buffer.name} has {len(buffer.shape)} axes and is indexed by {len(indices)}"
            )
        flat = integer(0)
        for place, stride in zip(reversed(indices), self._strides_of(buffer.shape), strict=True):
            scaled = binary(self.writer, "mul", place, stride)
            flat = binary(self.writer, "add", scaled, flat)
        return storage, flat

    def _strides_of(self, shape: Shape) -> list[Value]:
        """Elements between neighbours along each axis, the last axis first."""
        if shape not in self._strides:
            sizes = [product(shape[axis + 1 :]) for axis in reversed(range(len(shape)))]
            self._strides[shape] = [self.extent(size) for size in sizes]
        return self._strides[shape]

    def _address(self, storage: Storage, flat: str, element: str = "") -> str:
        if flat == "0":
            return storage.pointer
        kind = element or storage.element
        return self.writer.op(f"getelementptr inbounds {kind}, ptr {storage.pointer}, i64 {flat}")

    def _addresses(self, storage: Storage, flat: Value) -> str:
        writer, lanes = self.writer, self.writer.lanes
        if storage.lanes:
            wide = binary(writer, "mul", flat, integer(lanes))
            flat = binary(writer, "add", wide, Value(int64, "0", 1))
        places = as_vector(writer, flat)
        return writer.op(f"getelementptr {storage.element}, ptr {storage.pointer}, <{lanes} x i64> {places}")

    def _guarded(self, pointer: str, element: str) -> str:
        """The pointer, or a dummy where no lane may be running: a masked access must not fault."""
        writer = self.writer
        if writer.sure or writer.mask is None:
            return pointer
        if element not in self._dummy:
            self._dummy[element] = writer.early(f"alloca {element}, align 8")
            writer.entry.append(f"  store {element} zeroinitializer, ptr {self._dummy[element]}")
        lanes = writer.lanes
        some = writer.call("i1", f"llvm.vector.reduce.or.v{lanes}i1", [(f"<{lanes} x i1>", writer.mask)])
        return writer.op(f"select i1 {some}, ptr {pointer}, ptr {self._dummy[element]}")

    def _vector(self, value: Value) -> str:
        """The value in every lane, as memory holds it."""
        text = as_vector(self.writer, value)
        return self._bytes(text, self.writer.lanes) if value.dtype == bool_ else text

    def _bytes(self, text: str, lanes: int) -> str:
        return self.writer.op(f"zext {type_text(bool_, lanes)} {text} to {type_text(bool_, lanes, MEMORY)}")

    def _mask(self) -> str:
        return self.writer.mask or broadcast(self.writer, "true", "i1")

    def _reversed(self, text: str, kind: str) -> str:
        lanes = self.writer.lanes
        order = ", ".join(f"i32 {lane}" for lane in reversed(range(lanes)))
        return self.writer.op(f"shufflevector {kind} {text}, {kind} poison, <{lanes} x i32> <{order}>")

    def _suffix(self, storage: Storage) -> str:
        if storage.buffer.dtype == bool_:
            return f"v{self.writer.lanes}i8"
        return suffix_text(storage.buffer.dtype, self.writer.lanes)
