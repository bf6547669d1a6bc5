"""Values of the function being written, and how they become registers of one or many lanes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from compiler.llvm.emit_text import Writer
from symgraph.types import FLOATS, DType, bool_, float32, float64, int32, int64

REGISTER = {float32: "float", float64: "double", int32: "i32", int64: "i64", bool_: "i1"}
MEMORY = REGISTER | {bool_: "i8"}
SUFFIX = {float32: "f32", float64: "f64", int32: "i32", int64: "i64", bool_: "i1"}


@dataclass(frozen=True, slots=True)
class Value:
    """One number for all lanes, an int64 that grows by `step` from lane to lane, or a vector.

    `scalar` is the number of lane 0 and is set unless `vector` is.
    """

    dtype: DType
    scalar: str = ""
    step: int = 0
    vector: str = ""

    @property
    def uniform(self) -> bool:
        return not self.vector and self.step == 0

    @property
    def first(self) -> int | None:
        """The number of lane 0 where it is an int64 known now."""
        known = self.dtype == int64 and self.scalar and self.scalar[0] != "%"
        return int(self.scalar) if known else None

    @property
    def literal(self) -> int | None:
        """Its value where it is one int64 for all lanes, known now."""
        return self.first if self.step == 0 else None


def integer(value: int) -> Value:
    return Value(int64, str(value))


def literal_text(value: bool | int | float, dtype: DType) -> str:
    """A constant in LLVM's syntax; floats as the bits of a double, which is exact for both widths."""
    if dtype == bool_:
        return "true" if value else "false"
    if dtype in FLOATS:
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(dtype.type(value))))[0]:016X}"
    return str(int(value))


def parameter(kind: str, name: str) -> str:
    """The LLVM name of a buffer ("b") or an extent ("x"); names may hold any letter Python allows."""
    return f"%{kind}.{name}" if name.isascii() else f'%"{kind}.{name}"'


def type_text(dtype: DType, lanes: int, names: dict[DType, str] = REGISTER) -> str:
    return f"<{lanes} x {names[dtype]}>" if lanes else names[dtype]


def suffix_text(dtype: DType, lanes: int) -> str:
    """The end of an overloaded intrinsic's name: `f32` or `v16f32`."""
    return f"v{lanes}{SUFFIX[dtype]}" if lanes else SUFFIX[dtype]


def splat_text(text: str, type_name: str) -> str:
    return f"splat ({type_name} {text})"


def is_constant(text: str) -> bool:
    return not text.startswith("%")


def iota_text(lanes: int, step: int, type_name: str) -> str:
    """The vector constant 0, step, 2*step ..."""
    return "<" + ", ".join(f"{type_name} {lane * step}" for lane in range(lanes)) + ">"


def broadcast(writer: Writer, text: str, type_name: str) -> str:
    """A scalar in every lane."""
    if is_constant(text):
        return splat_text(text, type_name)
    kind = f"<{writer.lanes} x {type_name}>"
    one = writer.op(f"insertelement {kind} poison, {type_name} {text}, i64 0")
    return writer.op(
        f"shufflevector {kind} {one}, {kind} poison, <{writer.lanes} x i32> zeroinitializer"
    )


def as_vector(writer: Writer, value: Value) -> str:
    """The value as a vector of the current number of lanes."""
    if value.vector:
        return value.vector
    name = REGISTER[value.dtype]
    spread = broadcast(writer, value.scalar, name)
    if value.step == 0:
        return spread
    return writer.op(f"add <{writer.lanes} x i64> {spread}, {iota_text(writer.lanes, value.step, name)}")


def operands(writer: Writer, *values: Value) -> tuple[int, list[str]]:
    """Lanes (0 where all are uniform) and the texts of values that meet in one instruction."""
    if all(value.uniform for value in values):
        return 0, [value.scalar for value in values]
    return writer.lanes, [as_vector(writer, value) for value in values]


def result(dtype: DType, lanes: int, text: str) -> Value:
    return Value(dtype, vector=text) if lanes else Value(dtype, text)
