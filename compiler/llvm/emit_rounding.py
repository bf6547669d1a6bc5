"""fma, rounding and the remainder of floats: instructions where the target has them, else arithmetic.

LLVM would call libm for them where they are not instructions; nothing that is emitted here does.
"""

from __future__ import annotations

from compiler.llvm.emit_arithmetic import binary, cast, select, unary
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import Value, literal_text, operands, result, suffix_text, type_text
from symgraph.types import FLOATS, DType, float32, float64

INTRINSICS = {"floor": "floor", "round": "roundeven"}


def fma(writer: Writer, x: Value, y: Value, z: Value) -> Value:
    if not writer.target.has_fma:
        return wide_fma(writer, x, y, z) if x.dtype == float32 else split_fma(writer, x, y, z)
    lanes, texts = operands(writer, x, y, z)
    kind = type_text(x.dtype, lanes)
    name = f"llvm.fma.{suffix_text(x.dtype, lanes)}"
    return result(x.dtype, lanes, writer.call(kind, name, [(kind, text) for text in texts]))


def number(value: float, dtype: DType) -> Value:
    return Value(dtype, literal_text(value, dtype))


def wide_fma(writer: Writer, x: Value, y: Value, z: Value) -> Value:
    """float32 through float64, where the product is exact: within half a unit and a 2^-29th of one."""
    a, b, c = (cast(writer, value, float64) for value in (x, y, z))
    return cast(writer, binary(writer, "add", binary(writer, "mul", a, b), c), float32)


def split_fma(writer: Writer, x: Value, y: Value, z: Value) -> Value:
    """float64 by the errors of product and sum (Dekker 1971, Knuth): the last bit may differ from fma's.

    Where splitting overflows, or anything is infinite, it is the rounded product plus z.
    """

    def op(name: str, a: Value, b: Value) -> Value:
        return binary(writer, name, a, b)

    def halves(value: Value) -> tuple[Value, Value]:
        scaled = op("mul", value, number(2.0**27 + 1, float64))
        high = op("sub", scaled, op("sub", scaled, value))
        return high, op("sub", value, high)

    (xh, xl), (yh, yl) = halves(x), halves(y)
    product = op("mul", x, y)
    error = op("sub", op("mul", xh, yh), product)
    for a, b in ((xh, yl), (xl, yh), (xl, yl)):
        error = op("add", error, op("mul", a, b))
    total = op("add", product, z)
    moved = op("sub", total, product)
    lost = op("add", op("sub", product, op("sub", total, moved)), op("sub", z, moved))
    exact = op("add", total, op("add", lost, error))
    return select(writer, op("eq", exact, exact), exact, total)


def rounded(writer: Writer, op: str, x: Value) -> Value:
    """"floor", or "round" to nearest with ties to even. Integers stay as they are."""
    if x.dtype not in FLOATS:
        return x
    if not writer.target.has_rounding:
        return _floor(writer, x) if op == "floor" else _round_even(writer, x)
    lanes, (a,) = operands(writer, x)
    kind = type_text(x.dtype, lanes)
    text = writer.call(kind, f"llvm.{INTRINSICS[op]}.{suffix_text(x.dtype, lanes)}", [(kind, a)])
    return result(x.dtype, lanes, text)


def _round_even(writer: Writer, x: Value) -> Value:
    """To nearest, ties to even: adding and taking away a number whose unit in the last place is 1."""
    large = number(2.0**23 if x.dtype == float32 else 2.0**52, x.dtype)
    size = unary(writer, "abs", x)
    whole = binary(writer, "sub", binary(writer, "add", size, large), large)
    negative = binary(writer, "lt", x, number(0.0, x.dtype))
    signed = select(writer, negative, unary(writer, "neg", whole), whole)
    # Large numbers are whole already; zero keeps its sign; NaN compares as neither.
    small = binary(writer, "lt", size, large)
    moves = binary(writer, "and", small, binary(writer, "ne", x, number(0.0, x.dtype)))
    return select(writer, moves, signed, x)


def _floor(writer: Writer, x: Value) -> Value:
    nearest = _round_even(writer, x)
    below = binary(writer, "sub", nearest, number(1.0, x.dtype))
    return select(writer, binary(writer, "gt", nearest, x), below, nearest)


def remainder(writer: Writer, x: Value, y: Value) -> Value:
    """x - floor(x/y)*y, exact while the quotient is below 2^24 (2^53 for f64); inf as y gives x."""
    zero, one, infinity = (number(v, x.dtype) for v in (0.0, 1.0, float("inf")))
    quotient = rounded(writer, "floor", binary(writer, "div", x, y))
    rest = fma(writer, unary(writer, "neg", quotient), y, x)
    # The rounded quotient may be one off: then the rest lies outside [0, y).
    ratio = binary(writer, "div", rest, y)
    below, above = binary(writer, "lt", ratio, zero), binary(writer, "ge", ratio, one)
    lowered = select(writer, above, binary(writer, "sub", rest, y), rest)
    rest = select(writer, below, binary(writer, "add", rest, y), lowered)
    endless = binary(writer, "eq", unary(writer, "abs", y), infinity)
    crosses = binary(writer, "lt", binary(writer, "mul", x, y), zero)
    return select(writer, endless, select(writer, crosses, y, x), rest)
