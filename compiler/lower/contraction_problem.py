"""What a contraction is, before a method for it is chosen, and what comes out: kernels in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Binary,
    Buffer,
    Const,
    Expr,
    For,
    Index,
    Kernel,
    Load,
    Local,
    Mode,
    Select,
    Statement,
    binary,
    call,
    extent_expr,
    index,
)
from compiler.loop.walk import expressions, postorder, statements
from symgraph.dimension import Extent, Shape, product
from symgraph.types import FLOATS, DType

Indices = tuple[Expr, ...]
Operand = Callable[[Indices, Expr, Expr], Expr]
Epilogue = Callable[[Indices, Expr, Expr, Expr], tuple[Statement, ...]]


@dataclass(frozen=True, slots=True)
class KernelStep:
    """A kernel and those of its buffers, by name the same in all steps, that are scratch between steps.

    `packed`: what puts a known right operand into the scratch, for which there is no kernel then.
    """

    kernel: Kernel
    scratch: tuple[Buffer, ...]
    packed: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What all kernels of one contraction have in common. `buffers` may grow while they are written."""

    name: str
    buffers: Sequence[Buffer]
    extents: tuple[str, ...]
    dtype: DType
    target: Target

    @property
    def lanes(self) -> int:
        return self.target.lanes(self.dtype)

    def multiply_add(self, a: Expr, b: Expr, total: Expr) -> Expr:
        """a * b + total; in one rounding where the target has an instruction for it."""
        fused = self.dtype in FLOATS and self.target.has_fma
        return call("fma", a, b, total) if fused else total + a * b

    def kernel(self, suffix: str, body: tuple[Statement, ...], scratch: tuple[Buffer, ...]) -> KernelStep:
        """A kernel over those of the buffers that its body touches."""
        touched = {name for statement in statements(body) for name in _touched(statement)}
        chosen = tuple(buffer for buffer in (*self.buffers, *scratch) if buffer.name in touched)
        used = tuple(buffer for buffer in scratch if buffer.name in touched)
        return KernelStep(Kernel(self.name + suffix, chosen, self.extents, body), used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction(Writing):
    """What to compute. `left_unit` and `right_unit` name the index that walks memory one by one.

    `left(b, m, k)`, `right(b, k, n)` and `epilogue(b, m, n, value)` may use the extents and `buffers`; `n`
    is the vector index of the epilogue, which writes only places that belong to (b, m, n). `right_known`: the
    right operand is a constant, which is packed when the program is made.
    """

    batch: Shape
    m: Extent
    n: Extent
    k: Extent
    left: Operand
    right: Operand
    left_unit: Literal["m", "k", None]
    right_unit: Literal["k", "n", None]
    epilogue: Epilogue
    right_known: bool = False


def only_if(condition: Expr, step: KernelStep) -> KernelStep:
    """The step with no tasks where the condition, over extents, does not hold."""
    (loop,) = step.kernel.body
    assert isinstance(loop, For) and loop.mode == "parallel", "contractions are one parallel loop"
    body = (replace(loop, stop=Select(condition, loop.stop, extent_expr(0))),)
    return replace(step, kernel=replace(step.kernel, body=body))


def _touched(statement: Statement) -> set[str]:
    names = {e.buffer.name for e in postorder(expressions(statement)) if isinstance(e, Load)}
    buffer = getattr(statement, "buffer", None)
    return names | {buffer.name} if buffer is not None else names


def is_plain(expr: Expr) -> bool:
    """Whether an operand is a load at a sum of products of indices: as cheap as a copy of it."""
    if not isinstance(expr, Load):
        return False
    parts = list(postorder(expr.indices))
    linear = all(part.op in ("add", "sub", "mul") for part in parts if isinstance(part, Binary))
    return linear and all(isinstance(part, (Index, Const, Local, Binary)) for part in parts)


def step_along(expr: Expr, name: str) -> Extent | None:
    """How far the address of a load moves while an index grows by one; None where that is not one number."""
    if not isinstance(expr, Load) or not is_plain(expr):
        return None
    total: Extent = 0
    for axis, part in enumerate(expr.indices):
        slope = _slope(part, name)
        if slope is None:
            return None
        total = total + product(expr.buffer.shape[axis + 1 :]) * slope
    return total


def _slope(expr: Expr, name: str) -> int | None:
    """How much a linear expression grows with an index."""
    slopes: dict[int, int | None] = {}
    for part in postorder([expr]):
        slope: int | None = 0
        if isinstance(part, (Index, Local)):
            slope = int(part.name == name)
        elif isinstance(part, Binary):
            x, y = slopes[id(part.x)], slopes[id(part.y)]
            factors = [side.value for side in (part.x, part.y) if isinstance(side, Const)]
            if x is None or y is None or (part.op == "mul" and (x or y) and not factors):
                slope = None
            elif part.op == "mul":
                slope = (x + y) * int(factors[0]) if factors else 0
            else:
                slope = x + y if part.op == "add" else x - y
        slopes[id(part)] = slope
    return slopes[id(expr)]


def ceiling(extent: Extent | Expr, divisor: int) -> Expr:
    """extent / divisor, rounded up."""
    return binary("div", index(extent + (divisor - 1)), divisor)


def unflatten(flat: Expr, shape: Sequence[Expr | Extent]) -> Indices:
    """The indices into `shape` of a row-major position."""
    found: list[Expr] = []
    for extent in reversed(shape[1:]):
        found.append(binary("mod", flat, index(extent)))
        flat = binary("div", flat, index(extent))
    return (flat, *reversed(found)) if shape else ()


def loop(
    name: Index,
    stop: Expr | Extent,
    *body: Statement,
    start: Expr | Extent = 0,
    step: int = 1,
    mode: Mode = "serial",
) -> For:
    """A For over an index; bounds may be extents."""
    return For(name.name, index(start), index(stop), body, step, mode)


def smaller(value: Expr, limit: Expr | Extent) -> Expr:
    return binary("minimum", value, index(limit))
