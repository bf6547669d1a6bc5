"""Integer division, shifts and index arithmetic: folded when known, total when not."""

from __future__ import annotations

from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import (
    Value,
    broadcast,
    integer,
    iota_text,
    is_constant,
    splat_text,
    suffix_text,
    type_text,
)
from symgraph.types import DType, bool_, int64

FOLDS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "maximum": max,
    "minimum": min,
}
LIMIT = 2**63
LARGEST_STEP = 2**16  # of lanes whose indices are compared in 32 bits


def index_arithmetic(writer: Writer, op: str, x: Value, y: Value) -> Value | None:
    """int64 arithmetic that keeps known numbers and steps known; None where it cannot."""
    if x.vector or y.vector:
        return None
    a, b = x.literal, y.literal
    if a is not None and b is not None and op in FOLDS:
        return integer(_wrapped(FOLDS[op](a, b)))
    if op in ("add", "sub"):
        return _sum(writer, op, x, y)
    if op == "mul" and (a is not None or b is not None):
        return _scaled(writer, x, b) if b is not None else _scaled(writer, y, a or 0)
    return None


def compare_lanes(writer: Writer, predicate: str, x: Value, y: Value) -> Value | None:
    """An index that grows from lane to lane against a number, in 32 bits a lane; None for all else.

    `first + step*lane < number` is `step*lane < number - first`, where the right side may be cut to what the
    left side reaches.
    """
    if x.vector or y.vector or y.step or not 0 < x.step <= LARGEST_STEP:
        return None
    lanes = writer.lanes
    distance = y.scalar
    if x.first != 0:
        distance = writer.call("i64", "llvm.ssub.sat.i64", [("i64", y.scalar), ("i64", x.scalar)])
    above = writer.call("i64", "llvm.smax.i64", [("i64", distance), ("i64", "-1")])
    within = writer.call("i64", "llvm.smin.i64", [("i64", above), ("i64", str(lanes * x.step))])
    limit = broadcast(writer, writer.op(f"trunc i64 {within} to i32"), "i32")
    numbers = iota_text(lanes, x.step, "i32")
    return Value(bool_, vector=writer.op(f"icmp {predicate} <{lanes} x i32> {numbers}, {limit}"))


def _sum(writer: Writer, op: str, x: Value, y: Value) -> Value:
    step = x.step + y.step if op == "add" else x.step - y.step
    a, b = x.first, y.first
    if a is not None and b is not None:
        return Value(int64, str(_wrapped(FOLDS[op](a, b))), step)
    if b == 0:
        return Value(int64, x.scalar, step)
    if a == 0 and op == "add":
        return Value(int64, y.scalar, step)
    return Value(int64, writer.op(f"{op} i64 {x.scalar}, {y.scalar}"), step)


def _scaled(writer: Writer, value: Value, factor: int) -> Value:
    if factor == 0:
        return integer(0)
    if factor == 1:
        return value
    first, step = value.first, value.step * factor
    if first is not None:
        return Value(int64, str(_wrapped(first * factor)), step)
    return Value(int64, writer.op(f"mul i64 {value.scalar}, {factor}"), step)


def _wrapped(value: int) -> int:
    return (value + LIMIT) % (2 * LIMIT) - LIMIT


def divide(writer: Writer, op: str, dtype: DType, lanes: int, a: str, b: str) -> str:
    """Floor division and its remainder. By zero both are zero; the least number by -1 wraps."""
    known = _constant(b)
    if known is not None and known > 0:
        return _divide_by_positive(writer, op, dtype, lanes, a, b, known)
    kind, flags = type_text(dtype, lanes), f"<{lanes} x i1>" if lanes else "i1"

    def number(value: int) -> str:
        return splat_text(str(value), type_text(dtype, 0)) if lanes else str(value)

    is_zero = writer.op(f"icmp eq {kind} {b}, {number(0)}")
    is_minus = writer.op(f"icmp eq {kind} {b}, {number(-1)}")
    special = writer.op(f"or {flags} {is_zero}, {is_minus}")
    divisor = writer.op(f"select {flags} {special}, {kind} {number(1)}, {kind} {b}")
    rest = writer.op(f"srem {kind} {a}, {divisor}")
    signs = writer.op(f"xor {kind} {rest}, {divisor}")
    crosses = writer.op(f"icmp slt {kind} {signs}, {number(0)}")
    uneven = writer.op(f"icmp ne {kind} {rest}, {number(0)}")
    adjust = writer.op(f"and {flags} {crosses}, {uneven}")
    if op == "mod":
        added = writer.op(f"add {kind} {rest}, {divisor}")
        return writer.op(f"select {flags} {adjust}, {kind} {added}, {kind} {rest}")
    quotient = writer.op(f"sdiv {kind} {a}, {divisor}")
    below = writer.op(f"sext {flags} {adjust} to {kind}")
    floor = writer.op(f"add {kind} {quotient}, {below}")
    minus = writer.op(f"sub {kind} {number(0)}, {a}")
    signed = writer.op(f"select {flags} {is_minus}, {kind} {minus}, {kind} {floor}")
    return writer.op(f"select {flags} {is_zero}, {kind} {number(0)}, {kind} {signed}")


def _divide_by_positive(
    writer: Writer, op: str, dtype: DType, lanes: int, a: str, b: str, divisor: int
) -> str:
    kind, name = type_text(dtype, lanes), type_text(dtype, 0)

    def number(value: int) -> str:
        return splat_text(str(value), name) if lanes else str(value)

    if divisor & (divisor - 1) == 0:
        if op == "mod":
            return writer.op(f"and {kind} {a}, {number(divisor - 1)}")
        return writer.op(f"ashr {kind} {a}, {number(divisor.bit_length() - 1)}")
    rest = writer.op(f"srem {kind} {a}, {b}")
    negative = writer.op(f"ashr {kind} {rest}, {number(dtype.itemsize * 8 - 1)}")
    if op == "mod":
        return writer.op(f"add {kind} {rest}, {writer.op(f'and {kind} {negative}, {b}')}")
    quotient = writer.op(f"sdiv {kind} {a}, {b}")
    return writer.op(f"add {kind} {quotient}, {negative}")


def shift(writer: Writer, op: str, dtype: DType, lanes: int, a: str, b: str) -> str:
    """Logical shifts; by the width or more gives zero, as in numpy for left shifts."""
    kind, width = type_text(dtype, lanes), dtype.itemsize * 8
    instruction = "shl" if op == "shift_left" else "lshr"
    known = _constant(b)
    zero = "zeroinitializer" if lanes else "0"
    if known is not None:
        return writer.op(f"{instruction} {kind} {a}, {b}") if 0 <= known < width else zero
    limit = splat_text(str(width - 1), type_text(dtype, 0)) if lanes else str(width - 1)
    flags = f"<{lanes} x i1>" if lanes else "i1"
    inside = writer.op(f"icmp ule {kind} {b}, {limit}")
    amount = writer.call(kind, f"llvm.umin.{suffix_text(dtype, lanes)}", [(kind, b), (kind, limit)])
    moved = writer.op(f"{instruction} {kind} {a}, {amount}")
    return writer.op(f"select {flags} {inside}, {kind} {moved}, {kind} {zero}")


def _constant(text: str) -> int | None:
    """The integer in `7` or `splat (i64 7)`."""
    if not is_constant(text):
        return None
    number = text.removesuffix(")").rsplit(" ", 1)[-1]
    return int(number) if number.lstrip("-").isdigit() else None
