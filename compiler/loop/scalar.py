"""What each operator of the loop IR means, in numpy: on scalars for the interpreter, on arrays for tests.

Arguments and results are numpy values of the IR's dtypes. Callers suppress numpy's warnings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compiler.loop.grammar import Binary, Call, Cast, Expr, Select, Unary
from symgraph.errors import CompileError
from symgraph.special import erf, expit
from symgraph.types import DType, bool_, float32, float64, int32, int64

Value = np.ndarray | np.generic
INTEGER_VIEW = {float32: int32, float64: int64}
FLOAT_VIEW = {int32: float32, int64: float64}
UNSIGNED = {int32: np.dtype(np.uint32), int64: np.dtype(np.uint64)}


def _negative(x):
    return x if x.dtype == bool_ else np.negative(x)


def _rounded(function: np.ufunc) -> Callable:
    """Integers are whole already; numpy would make them float64."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


def _subtract(x, y):
    """On bool, numpy's other arithmetic is logic, and this is exclusive or."""
    return np.bitwise_xor(x, y) if x.dtype == bool_ else np.subtract(x, y)


def _divide(x, y):
    """Floor division for integers, where dividing by zero gives zero."""
    return np.divide(x, y) if x.dtype.kind == "f" else np.floor_divide(x, y)


def _shift_right(x, y):
    unsigned = UNSIGNED[x.dtype]
    return (x.astype(unsigned) >> y.astype(unsigned)).astype(x.dtype)


def fma(x, y, z):
    """x * y + z rounded once: exactly for float32, but for ties seen by a second rounding; for float64
    from the exact product (Dekker) and the exact sum (Knuth), rounded where their small parts are added."""
    if x.dtype == float32:
        wide = x.astype(float64) * y.astype(float64) + z.astype(float64)
        return wide.astype(float32)
    plain = x * y + z
    product, product_error = _two_product(x, y)
    total, total_error = _two_sum(product, z)
    careful = total + (product_error + total_error)
    return np.where(np.isfinite(careful), careful, plain)[()]


def _two_product(x, y):
    x_high, y_high = _high_half(x), _high_half(y)
    x_low, y_low = x - x_high, y - y_high
    product = x * y
    return product, ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low


def _high_half(x):
    scaled = 134217729.0 * x  # 2^27 + 1, Veltkamp
    return scaled - (scaled - x)


def _two_sum(x, y):
    total = x + y
    y_part = total - x
    return total, (x - (total - y_part)) + (y - y_part)


UNARY_MEANING: dict[str, Callable] = {
    "neg": _negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "floor": _rounded(np.floor),
    "round": _rounded(np.rint),
    "not": np.invert,
    "bits_as_int": lambda x: x.view(INTEGER_VIEW[x.dtype]),
    "bits_as_float": lambda x: x.view(FLOAT_VIEW[x.dtype]),
}
BINARY_MEANING: dict[str, Callable] = {
    "add": np.add,
    "sub": _subtract,
    "mul": np.multiply,
    "div": _divide,
    "mod": np.mod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shift_left": np.left_shift,
    "shift_right": _shift_right,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
# Computed in float64 and rounded to the arguments' dtype by `apply`.
FUNCTIONS: dict[str, Callable] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": expit,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "pow": np.power,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}


def apply(expr: Expr, operands: list) -> Value:
    """The value of an operation on the values of its operands; not for leaves and loads."""
    if isinstance(expr, Binary):
        return BINARY_MEANING[expr.op](*operands)
    if isinstance(expr, Unary):
        return UNARY_MEANING[expr.op](*operands)
    if isinstance(expr, Select):
        return np.where(*operands)[()]
    if isinstance(expr, Cast):
        return cast(operands[0], expr.dtype)
    if isinstance(expr, Call):
        return call(expr.function, operands)
    raise CompileError(f"the loop IR has no operation {type(expr).__name__}")


def cast(x, dtype: DType) -> Value:
    """Floats to integers truncate and saturate; NaN gives zero."""
    if x.dtype.kind == "f" and dtype.kind == "i":
        limits = np.iinfo(dtype)
        whole = np.where(np.isnan(x) | (x >= limits.max), 0, np.maximum(x, limits.min)).astype(dtype)
        return np.where(x >= limits.max, dtype.type(limits.max), whole)[()]
    return x.astype(dtype)


def call(function: str, operands: list) -> Value:
    if function == "fma":
        return fma(*operands)
    dtype: DType = operands[0].dtype
    result = FUNCTIONS[function](*(x.astype(float64) for x in operands))
    return np.asarray(result).astype(dtype)[()]
