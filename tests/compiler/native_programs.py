"""Small programs, written by hand in the loop IR, and what they must compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.loop.grammar import Buffer, Expr, For, Index, Kernel, Load, Mode, Statement, Store, index
from compiler.program import Argument, Launch, Place, Program, Slot
from symgraph.dimension import Dim, Extent
from symgraph.types import DType, TensorType, float32

BATCH = Dim.named("batch")


def argument(name: str, shape: Sequence[Extent], dtype: DType = float32) -> Argument:
    return Argument(name, TensorType(tuple(shape), dtype))


def input_place(number: int) -> Place:
    return Place("input", number)


def output_place(number: int) -> Place:
    return Place("output", number)


def nest(shape: Sequence[Extent], body: Statement, mode: Mode = "serial") -> tuple[Statement, ...]:
    """Loops i0, i1, ... over a shape; `mode` is that of the outermost."""
    for axis in reversed(range(len(shape))):
        this = mode if axis == 0 else "serial"
        body = For(f"i{axis}", index(0), index(shape[axis]), (body,), mode=this)
    return (body,)


def axes(shape: Sequence[Extent]) -> tuple[Expr, ...]:
    return tuple(Index(f"i{axis}") for axis in range(len(shape)))


def affine_kernel(
    name: str, shape: Sequence[Extent], scale: float, offset: float, mode: Mode = "serial", prefix: str = ""
) -> Kernel:
    """y = scale * x + offset over a shape."""
    x = Buffer(f"{prefix}x", float32, tuple(shape))
    y = Buffer(f"{prefix}y", float32, tuple(shape))
    body = Store(y, axes(shape), Load(x, axes(shape)) * scale + offset)
    names = tuple(dict.fromkeys(n for e in shape if isinstance(e, Dim) for n in e.names))
    return Kernel(name, (x, y), names, nest(shape, body, mode))


def two_steps(name: str = "two_steps", mode: Mode = "serial") -> Program:
    """out = (2 x + 1) * 3 - 4 over f32[batch, 64], through the arena."""
    shape = (BATCH, 64)
    first = affine_kernel("first", shape, 2.0, 1.0, mode)
    second = affine_kernel("second", shape, 3.0, -4.0, mode)
    return Program(
        name, (argument("x", shape),), (argument("out", shape),), (), ("batch",), (Slot((BATCH * 256,)),),
        (
            Launch(first, (input_place(0), Place("arena", 0)), (BATCH,)),
            Launch(second, (Place("arena", 0), output_place(0)), (BATCH,)),
        ),
    )


def two_steps_result(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float64) * 2 + 1) * 3 - 4


def sum_and_difference(name: str = "sum_and_difference") -> Program:
    """Outputs x + y and x - y for f32[batch, 3] and f32[batch, 3]."""
    shape = (BATCH, 3)
    x, y, plus, minus = (Buffer(n, float32, shape) for n in ("x", "y", "plus", "minus"))
    at = axes(shape)
    body = (
        nest(shape, Store(plus, at, Load(x, at) + Load(y, at)))
        + nest(shape, Store(minus, at, Load(x, at) - Load(y, at)))
    )
    kernel = Kernel("both", (x, y, plus, minus), ("batch",), body)
    places = (input_place(0), input_place(1), output_place(0), output_place(1))
    inputs = argument("x", shape), argument("y", shape)
    outputs = argument("plus", shape), argument("minus", shape)
    return Program(
        name, inputs, outputs, (), ("batch",), (), (Launch(kernel, places, (BATCH,)),),
    )


def accumulate_weight(name: str = "accumulate_weight", size: int = 1000) -> Program:
    """w += x for a weight of f32[size]; no outputs."""
    x, w = Buffer("x", float32, (size,)), Buffer("w", float32, (size,))
    at = axes((size,))
    kernel = Kernel("add", (x, w), (), nest((size,), Store(w, at, Load(w, at) + Load(x, at))))
    return Program(
        name, (argument("x", (size,)),), (), (argument("w", (size,)),), (), (),
        (Launch(kernel, (input_place(0), Place("weight", 0)), ()),),
    )


def scaled_by_weight(name: str = "scaled", size: int = 5) -> Program:
    """out = x * w for f32[batch, size] and a weight of f32[size]."""
    shape = (BATCH, size)
    x, w, out = Buffer("x", float32, shape), Buffer("w", float32, (size,)), Buffer("out", float32, shape)
    at = axes(shape)
    store = Store(out, at, Load(x, at) * Load(w, at[1:]))
    kernel = Kernel("scale", (x, w, out), ("batch",), nest(shape, store))
    return Program(
        name, (argument("x", shape),), (argument("out", shape),), (argument("w", (size,)),), ("batch",), (),
        (Launch(kernel, (input_place(0), Place("weight", 0), output_place(0)), (BATCH,)),),
    )


def copy_program(
    shape: Sequence[Extent], dtype: DType, dims: Sequence[str] = (), name: str = "copy"
) -> Program:
    """out = x of any shape and dtype, element by element."""
    x, out = Buffer("x", dtype, tuple(shape)), Buffer("out", dtype, tuple(shape))
    at = axes(shape)
    store = Store(out, at, Load(x, at))
    body = nest(shape, store) if shape else (store,)
    kernel = Kernel("copy", (x, out), tuple(dims), body)
    launch = Launch(kernel, (input_place(0), output_place(0)), tuple(Dim.named(d) for d in dims))
    return Program(
        name, (argument("x", shape, dtype),), (argument("out", shape, dtype),), (), tuple(dims), (), (launch,)
    )
