"""The loop IR: what a kernel is. The whole grammar is on this page.

    Kernel    = name (Buffer ...) (extent name ...) { Statement ... }
    Statement = For | If | Let | Store | Accumulate | Alloc
    Expr      = Const | Index | Local | Load | Unary | Binary | Select | Cast | Call

A kernel is a function over buffers and int64 extents. Buffers are row-major and do not overlap.
Everything is immutable and scalar: `For.mode` alone says how a loop runs.

  serial    one iteration after another
  parallel  iterations are independent; only as the outermost loop of a kernel, split among threads
  vector    iterations are SIMD lanes, in groups of the target's width; the remainder is masked.
            An If below it whose condition depends on the index masks lanes. A Let or an Alloc below
            it is private to a lane. Accumulating into a place that does not depend on the index
            is a reduction: it may be reassociated (several partial results), nothing else may.
  unroll    static extent; the body is repeated with the index a constant

Alloc makes scratch memory that lives until the end of the statement list it stands in; with a static
shape, indexed by constants only (after unrolling), it becomes registers. Its contents start undefined.
Accumulate(buffer, indices, value, "add") is buffer[indices] += value.

Semantics of operators: IEEE without any fast-math flag; integer arithmetic wraps; `maximum` and
`minimum` propagate NaN; comparisons give bool; float to int casts truncate. Division and remainder of
integers are floor division and its remainder, as in numpy; dividing by zero gives zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from symgraph.dimension import Dim, Extent, Shape
from symgraph.types import DType, bool_, float32, float64, int32, int64

Mode = Literal["serial", "parallel", "vector", "unroll"]
Reducer = Literal["add", "multiply", "maximum", "minimum"]

UNARY = frozenset({"neg", "abs", "sqrt", "floor", "round", "not", "bits_as_float", "bits_as_int"})
ARITHMETIC = frozenset({
    "add", "sub", "mul", "div", "mod", "maximum", "minimum",
    "and", "or", "xor", "shift_left", "shift_right",  # shift_right brings in zeros
})
COMPARISON = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
# Functions whose bodies are in compiler/loop/math.py, but fma, which is an instruction.
CALLS = frozenset({
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "pow", "rsqrt", "fma",
})


class Expr:
    """A scalar expression. Operators build new ones; Python numbers take the other side's dtype."""

    __slots__ = ()
    dtype: DType

    def __add__(self, other: Expr | float) -> Expr:
        return binary("add", self, other)

    def __radd__(self, other: float) -> Expr:
        return binary("add", other, self)

    def __sub__(self, other: Expr | float) -> Expr:
        return binary("sub", self, other)

    def __rsub__(self, other: float) -> Expr:
        return binary("sub", other, self)

    def __mul__(self, other: Expr | float) -> Expr:
        return binary("mul", self, other)

    def __rmul__(self, other: float) -> Expr:
        return binary("mul", other, self)

    def __truediv__(self, other: Expr | float) -> Expr:
        return binary("div", self, other)

    def __rtruediv__(self, other: float) -> Expr:
        return binary("div", other, self)

    def __floordiv__(self, other: Expr | int) -> Expr:
        return binary("div", self, other)

    def __mod__(self, other: Expr | int) -> Expr:
        return binary("mod", self, other)

    def __and__(self, other: Expr | int) -> Expr:
        return binary("and", self, other)

    def __or__(self, other: Expr | int) -> Expr:
        return binary("or", self, other)

    def __xor__(self, other: Expr | int) -> Expr:
        return binary("xor", self, other)

    def __lshift__(self, other: Expr | int) -> Expr:
        return binary("shift_left", self, other)

    def __rshift__(self, other: Expr | int) -> Expr:
        return binary("shift_right", self, other)

    def __neg__(self) -> Expr:
        return Unary("neg", self)

    def __invert__(self) -> Expr:
        return Unary("not", self)

    def __lt__(self, other: Expr | float) -> Expr:
        return binary("lt", self, other)

    def __le__(self, other: Expr | float) -> Expr:
        return binary("le", self, other)

    def __gt__(self, other: Expr | float) -> Expr:
        return binary("gt", self, other)

    def __ge__(self, other: Expr | float) -> Expr:
        return binary("ge", self, other)


@dataclass(frozen=True, slots=True)
class Buffer:
    """Row-major memory with a name, unique in its kernel. `bool` takes one byte an element."""

    name: str
    dtype: DType
    shape: Shape


@dataclass(frozen=True, slots=True)
class Const(Expr):
    value: bool | int | float
    dtype: DType


@dataclass(frozen=True, slots=True)
class Index(Expr):
    """A loop's index, or one of the kernel's extents. int64."""

    name: str

    @property
    def dtype(self) -> DType:
        return int64


@dataclass(frozen=True, slots=True)
class Local(Expr):
    """The value that a Let above gave this name."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Load(Expr):
    buffer: Buffer
    indices: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`round` is to nearest even; `bits_as_int`/`bits_as_float` reinterpret (f32-i32, f64-i64)."""

    op: str
    x: Expr

    @property
    def dtype(self) -> DType:
        if self.op == "bits_as_int":
            return int32 if self.x.dtype == float32 else int64
        if self.op == "bits_as_float":
            return float32 if self.x.dtype == int32 else float64
        return self.x.dtype


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    op: str
    x: Expr
    y: Expr

    @property
    def dtype(self) -> DType:
        return bool_ if self.op in COMPARISON else self.x.dtype


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """`x` where the condition holds, else `y`; both sides are evaluated."""

    condition: Expr
    x: Expr
    y: Expr

    @property
    def dtype(self) -> DType:
        return self.x.dtype


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    x: Expr
    dtype: DType


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """One of CALLS; all arguments and the result have one float dtype."""

    function: str
    arguments: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        return self.arguments[0].dtype


@dataclass(frozen=True, slots=True)
class For:
    """`for index in range(start, stop, step)`; step is a positive int. start and stop are int64."""

    index: str
    start: Expr
    stop: Expr
    body: tuple[Statement, ...]
    step: int = 1
    mode: Mode = "serial"


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    """`streaming` hints that the line will not be read again soon (a non-temporal store)."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class Accumulate:
    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr
    reducer: Reducer = "add"


@dataclass(frozen=True, slots=True)
class Alloc:
    """Scratch memory; a shape with named dimensions is not allowed (use a kernel buffer)."""

    buffer: Buffer


Statement = For | If | Let | Store | Accumulate | Alloc


@dataclass(frozen=True, slots=True)
class Kernel:
    """`buffers` and `extents` are the parameters in call order; `name` is a C identifier."""

    name: str
    buffers: tuple[Buffer, ...]
    extents: tuple[str, ...]
    body: tuple[Statement, ...]


def constant(value: bool | int | float, dtype: DType) -> Const:
    return Const(dtype.type(value).item(), dtype)


def as_expr(value: Expr | float, dtype: DType) -> Expr:
    return value if isinstance(value, Expr) else constant(value, dtype)


def binary(op: str, x: Expr | float, y: Expr | float) -> Expr:
    """A Binary with Python numbers made constants, folding the trivial integer cases."""
    dtype = x.dtype if isinstance(x, Expr) else y.dtype if isinstance(y, Expr) else int64
    x, y = as_expr(x, dtype), as_expr(y, dtype)
    if dtype == int64:
        folded = _fold_index(op, x, y)
        if folded is not None:
            return folded
    return Binary(op, x, y)


def select(condition: Expr, x: Expr | float, y: Expr | float) -> Expr:
    dtype = x.dtype if isinstance(x, Expr) else y.dtype if isinstance(y, Expr) else float32
    return Select(condition, as_expr(x, dtype), as_expr(y, dtype))


def call(function: str, *arguments: Expr | float) -> Expr:
    dtype = next(a.dtype for a in arguments if isinstance(a, Expr))
    return Call(function, tuple(as_expr(a, dtype) for a in arguments))


def extent_expr(extent: Extent) -> Expr:
    """An extent as an int64 expression over the kernel's extents."""
    if not isinstance(extent, Dim):
        return Const(extent, int64)
    total: Expr = Const(0, int64)
    for monomial, factor in extent.terms:
        term: Expr = Const(factor, int64)
        for name in monomial:
            term = binary("mul", term, Index(name))
        total = binary("add", total, term)
    return total


def index(value: Expr | Extent) -> Expr:
    """An int64 expression from a loop index, an extent or an int."""
    return value if isinstance(value, Expr) else extent_expr(value)


def indices(values: Sequence[Expr | Extent]) -> tuple[Expr, ...]:
    return tuple(index(v) for v in values)


def _fold_index(op: str, x: Expr, y: Expr) -> Expr | None:
    a = x.value if isinstance(x, Const) else None
    b = y.value if isinstance(y, Const) else None
    if a is not None and b is not None:
        a, b = int(a), int(b)
        results = {
            "add": a + b, "sub": a - b, "mul": a * b, "maximum": max(a, b), "minimum": min(a, b),
            "div": a // b if b else 0, "mod": a % b if b else 0,
        }
        return Const(results[op], int64) if op in results else None
    if (op == "add" and a == 0) or (op == "mul" and a == 1):
        return y
    if (op in ("add", "sub") and b == 0) or (op in ("mul", "div") and b == 1):
        return x
    if (op == "mul" and 0 in (a, b)) or (op == "mod" and b == 1):
        return Const(0, int64)
    return None
