"""Operators of the loop IR as LLVM instructions, on scalars and vectors alike.

Strict IEEE: no fast-math flag is set here. Integers wrap; nothing traps and nothing is undefined.
"""

from __future__ import annotations

from compiler.llvm.emit_integer import compare_lanes, divide, index_arithmetic, shift
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import (
    Value,
    integer,
    is_constant,
    literal_text,
    operands,
    result,
    splat_text,
    suffix_text,
    type_text,
)
from compiler.loop.grammar import COMPARISON
from symgraph.errors import CompileError
from symgraph.types import FLOATS, DType, bool_, float32, float64, int32, int64

FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
INTEGER_OPS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
# On bool, numpy's arithmetic is logic.
BOOL_OPS = {
    "add": "or", "mul": "and", "sub": "xor", "maximum": "or", "minimum": "and",
    "and": "and", "or": "or", "xor": "xor",
}
PREDICATES = {
    "float": {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"},
    "integer": {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"},
    "bool": {"lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge", "eq": "eq", "ne": "ne"},
}
SWAPPED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
NAN = literal_text(float("nan"), float64)
INTRINSICS = {"sqrt": "sqrt", "abs": "fabs"}


def binary(writer: Writer, op: str, x: Value, y: Value) -> Value:
    """`x op y`, of one dtype."""
    if x.dtype == int64:
        known = index_arithmetic(writer, op, x, y)
        if known is not None:
            return known
        if op in COMPARISON:
            compared = _compare_index(writer, op, x, y)
            if compared is not None:
                return compared
    lanes, (a, b) = operands(writer, x, y)
    kind = type_text(x.dtype, lanes)
    dtype = bool_ if op in COMPARISON else x.dtype
    if op in COMPARISON:
        text = writer.op(_comparison(op, x.dtype, kind, a, b))
    elif x.dtype == bool_:
        text = writer.op(f"{BOOL_OPS[op]} {kind} {a}, {b}")
    elif x.dtype in FLOATS:
        text = _float(writer, op, x.dtype, lanes, a, b)
    else:
        text = _integer(writer, op, x.dtype, lanes, a, b)
    return result(dtype, lanes, text)


def _compare_index(writer: Writer, op: str, x: Value, y: Value) -> Value | None:
    if x.uniform:
        op, x, y = SWAPPED.get(op, op), y, x
    return compare_lanes(writer, PREDICATES["integer"][op], x, y)


def _comparison(op: str, dtype: DType, kind: str, a: str, b: str) -> str:
    if dtype in FLOATS:
        return f"fcmp {PREDICATES['float'][op]} {kind} {a}, {b}"
    family = "bool" if dtype == bool_ else "integer"
    return f"icmp {PREDICATES[family][op]} {kind} {a}, {b}"


def _integer(writer: Writer, op: str, dtype: DType, lanes: int, a: str, b: str) -> str:
    kind = type_text(dtype, lanes)
    if op in INTEGER_OPS:
        return writer.op(f"{INTEGER_OPS[op]} {kind} {a}, {b}")
    if op in ("maximum", "minimum"):
        name = f"llvm.s{op[:3]}.{suffix_text(dtype, lanes)}"
        return writer.call(kind, name, [(kind, a), (kind, b)])
    if op in ("shift_left", "shift_right"):
        return shift(writer, op, dtype, lanes, a, b)
    return divide(writer, op, dtype, lanes, a, b)


def _float(writer: Writer, op: str, dtype: DType, lanes: int, a: str, b: str) -> str:
    kind = type_text(dtype, lanes)
    if op in FLOAT_OPS:
        return writer.op(f"{FLOAT_OPS[op]} {kind} {a}, {b}")
    if op not in ("maximum", "minimum"):
        raise CompileError(f"operator {op} is not defined on {dtype}; expected integers or bool")
    if not writer.target.is_x86:
        return writer.call(kind, f"llvm.{op}.{suffix_text(dtype, lanes)}", [(kind, a), (kind, b)])
    if is_constant(a):
        a, b = b, a
    # x86's max(p, q) is `p > q ? p : q`, which is q where either is NaN: with q = a only a NaN in b is lost.
    order = "ogt" if op == "maximum" else "olt"
    flags = f"<{lanes} x i1>" if lanes else "i1"
    above = writer.op(f"fcmp {order} {kind} {b}, {a}")
    larger = writer.op(f"select {flags} {above}, {kind} {b}, {kind} {a}")
    if is_constant(b) and NAN not in b:
        return larger
    lost = writer.op(f"fcmp uno {kind} {b}, {b}")
    return writer.op(f"select {flags} {lost}, {kind} {b}, {kind} {larger}")


def unary(writer: Writer, op: str, x: Value) -> Value:
    if op == "neg" and x.dtype == int64:
        return binary(writer, "sub", integer(0), x)
    lanes, (a,) = operands(writer, x)
    kind = type_text(x.dtype, lanes)
    if op == "bits_as_int":
        to = int32 if x.dtype == float32 else int64
        return result(to, lanes, writer.op(f"bitcast {kind} {a} to {type_text(to, lanes)}"))
    if op == "bits_as_float":
        to = float32 if x.dtype == int32 else float64
        return result(to, lanes, writer.op(f"bitcast {kind} {a} to {type_text(to, lanes)}"))
    if x.dtype in FLOATS:
        return result(x.dtype, lanes, _float_unary(writer, op, x.dtype, lanes, a))
    return result(x.dtype, lanes, _integer_unary(writer, op, x.dtype, lanes, a))


def _float_unary(writer: Writer, op: str, dtype: DType, lanes: int, a: str) -> str:
    kind = type_text(dtype, lanes)
    if op == "neg":
        return writer.op(f"fneg {kind} {a}")
    if op not in INTRINSICS:
        raise CompileError(f"operator {op} is not defined on {dtype}")
    return writer.call(kind, f"llvm.{INTRINSICS[op]}.{suffix_text(dtype, lanes)}", [(kind, a)])


def _integer_unary(writer: Writer, op: str, dtype: DType, lanes: int, a: str) -> str:
    kind = type_text(dtype, lanes)
    every = "true" if dtype == bool_ else "-1"
    if op == "not":
        return writer.op(f"xor {kind} {a}, {splat_text(every, type_text(dtype, 0)) if lanes else every}")
    if dtype == bool_ or op in ("floor", "round"):
        return a
    if op == "neg":
        return writer.op(f"sub {kind} zeroinitializer, {a}" if lanes else f"sub {kind} 0, {a}")
    if op == "abs":
        name = f"llvm.abs.{suffix_text(dtype, lanes)}"
        return writer.call(kind, name, [(kind, a), ("i1", "false")])
    raise CompileError(f"operator {op} is not defined on {dtype}")


def select(writer: Writer, condition: Value, x: Value, y: Value) -> Value:
    if condition.uniform and (x.vector or y.vector or x.step or y.step):
        _, (a, b) = operands(writer, x, y)
        kind = type_text(x.dtype, writer.lanes)
        text = writer.op(f"select i1 {condition.scalar}, {kind} {a}, {kind} {b}")
        return Value(x.dtype, vector=text)
    lanes, (c, a, b) = operands(writer, condition, x, y)
    kind = type_text(x.dtype, lanes)
    return result(x.dtype, lanes, writer.op(f"select {type_text(bool_, lanes)} {c}, {kind} {a}, {kind} {b}"))


def cast(writer: Writer, x: Value, dtype: DType) -> Value:
    """Floats to integers truncate and saturate; NaN gives 0. Anything to bool is `!= 0`."""
    if x.dtype == dtype:
        return x
    lanes, (a,) = operands(writer, x)
    source, to = type_text(x.dtype, lanes), type_text(dtype, lanes)
    if dtype == bool_:
        zero = "zeroinitializer" if lanes else literal_text(0, x.dtype)
        compare = "fcmp une" if x.dtype in FLOATS else "icmp ne"
        return result(dtype, lanes, writer.op(f"{compare} {source} {a}, {zero}"))
    if x.dtype in FLOATS and dtype not in FLOATS:
        name = f"llvm.fptosi.sat.{suffix_text(dtype, lanes)}.{suffix_text(x.dtype, lanes)}"
        return result(dtype, lanes, writer.call(to, name, [(source, a)]))
    return result(dtype, lanes, writer.op(f"{_conversion(x.dtype, dtype)} {source} {a} to {to}"))


def _conversion(source: DType, to: DType) -> str:
    if to in FLOATS:
        if source in FLOATS:
            return "fpext" if to == float64 else "fptrunc"
        return "uitofp" if source == bool_ else "sitofp"
    if source == bool_:
        return "zext"
    return "sext" if to == int64 else "trunc"
