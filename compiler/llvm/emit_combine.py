"""The reducers of Accumulate on values: identities, masked lanes, lanes combined to one number."""

from __future__ import annotations

import numpy as np

from compiler.llvm.emit_arithmetic import binary
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import Value, as_vector, literal_text, splat_text, type_text
from compiler.loop.grammar import Reducer
from symgraph.types import FLOATS, DType, bool_

REDUCER_OPS = {"add": "add", "multiply": "mul", "maximum": "maximum", "minimum": "minimum"}


def identity(reducer: Reducer, dtype: DType) -> str:
    """The constant that leaves the other side as it is."""
    if reducer in ("add", "multiply"):
        return literal_text(0 if reducer == "add" else 1, dtype)
    if dtype == bool_:
        return literal_text(reducer == "minimum", dtype)
    if dtype in FLOATS:
        return literal_text(float("-inf" if reducer == "maximum" else "inf"), dtype)
    limits = np.iinfo(dtype)
    return literal_text(int(limits.min if reducer == "maximum" else limits.max), dtype)


def identity_vector(reducer: Reducer, dtype: DType) -> str:
    return splat_text(identity(reducer, dtype), type_text(dtype, 0))


def combine(writer: Writer, reducer: Reducer, old: Value, value: Value) -> Value:
    return binary(writer, REDUCER_OPS[reducer], old, value)


def combine_partial(writer: Writer, reducer: Reducer, dtype: DType, one: str, other: str) -> str:
    """Two vectors of partial results. Only here may sums of floats be reassociated."""
    if reducer == "add" and dtype in FLOATS:
        return writer.op(f"fadd reassoc {type_text(dtype, writer.lanes)} {one}, {other}")
    return combine(writer, reducer, Value(dtype, vector=one), Value(dtype, vector=other)).vector


def running_only(writer: Writer, reducer: Reducer, value: Value) -> str:
    """The value in the lanes that run, and the reducer's identity in the others."""
    text = as_vector(writer, value)
    if writer.mask is None:
        return text
    kind = type_text(value.dtype, writer.lanes)
    neutral = identity_vector(reducer, value.dtype)
    return writer.op(f"select <{writer.lanes} x i1> {writer.mask}, {kind} {text}, {kind} {neutral}")


def across(writer: Writer, reducer: Reducer, dtype: DType, text: str) -> Value:
    """All lanes of a vector combined to one number, by halving."""
    lanes = writer.lanes
    while lanes > 1:
        half, kind = lanes // 2, type_text(dtype, lanes)
        halves = []
        for first in (0, half):
            order = ", ".join(f"i32 {first + lane}" for lane in range(half))
            halves.append(writer.op(f"shufflevector {kind} {text}, {kind} poison, <{half} x i32> <{order}>"))
        with writer.running(half, None, True):
            text = combine_partial(writer, reducer, dtype, *halves)
        lanes = half
    return Value(dtype, writer.op(f"extractelement {type_text(dtype, 1)} {text}, i64 0"))
