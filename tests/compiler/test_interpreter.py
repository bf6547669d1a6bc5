"""The interpreter against numpy, and the faults it must catch."""

from fractions import Fraction

import numpy as np
import pytest

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Store,
    Unary,
    binary,
    call,
    constant,
    select,
)
from compiler.loop.interpreter import interpret
from symgraph.dimension import Dim
from symgraph.errors import CompileError
from symgraph.types import bool_, float32, float64, int32, int64

N = Dim.named("n")
i, j, k = Index("i"), Index("j"), Index("k")
ZERO = Const(0, int64)


def loop(index: str, stop: Expr | int, *body, mode="serial", step=1) -> For:
    return For(index, ZERO, stop if isinstance(stop, Expr) else Const(stop, int64), body, step, mode)


def scalar(value: Expr) -> np.generic:
    """What one expression of constants evaluates to."""
    out = Buffer("out", value.dtype, ())
    result = np.zeros((), value.dtype)
    interpret(Kernel("k", (out,), (), (Store(out, (), value),)), [result], [])
    return result[()]


def test_matrix_product_in_every_mode():
    a, b, c = (Buffer(name, float32, (N, N)) for name in "abc")
    product = Load(a, (i, k)) * Load(b, (k, j))
    inner = loop("k", Index("n"), loop("j", Index("n"), Accumulate(c, (i, j), product), mode="vector"))
    kernel = Kernel("matmul", (a, b, c), ("n",), (loop("i", Index("n"), inner, mode="parallel"),))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 5)).astype(np.float32)
    for lanes in (1, 2, 8):
        z = np.zeros((5, 5), np.float32)
        interpret(kernel, [x, y, z], [5], lanes=lanes, reverse=lanes == 2)
        np.testing.assert_allclose(z, x.astype(np.float64) @ y, rtol=1e-5, atol=1e-6)


def constants(dtype, *values) -> tuple[Const, ...]:
    return tuple(constant(value, dtype) for value in values)


@pytest.mark.parametrize(("value", "expected"), [
    (Const(2**31 - 1, int32) + Const(1, int32), -(2**31)),
    (Binary("div", *constants(int64, -7, 2)), -4),
    (Binary("mod", *constants(int64, -7, 2)), 1),
    (Binary("div", *constants(int32, 5, 0)), 0),
    (Binary("mod", *constants(int32, 5, 0)), 0),
    (Binary("shift_right", *constants(int32, -1, 28)), 15),
    (Binary("shift_left", *constants(int64, 3, 4)), 48),
    (Unary("bits_as_int", constant(1.0, float32)), 0x3F800000),
    (Unary("bits_as_float", constant(0x3FF0000000000000, int64)), 1.0),
    (Unary("round", constant(2.5, float32)), 2.0),
    (Unary("floor", constant(-2.5, float64)), -3.0),
    (Cast(constant(-2.9, float32), int32), -2),
    (Cast(constant(3, int64), bool_), True),
    (Cast(constant(1e20, float64), int64), 2**63 - 1),
    (Cast(constant(-1e20, float32), int32), -(2**31)),
    (Cast(constant(float("nan"), float32), int32), 0),
    (Binary("sub", *constants(bool_, True, True)), False),
    (Unary("floor", constant(3, int32)), 3),
    (-constant(True, bool_), True),
    (~constant(True, bool_), False),
    (~constant(5, int32), -6),
    (binary("maximum", *constants(float32, float("nan"), 1.0)), float("nan")),
    (binary("minimum", *constants(float32, 1.0, float("nan"))), float("nan")),
    (binary("maximum", *constants(int64, -3, 2)), 2),
    (constant(1.0, float32) / 0.0, float("inf")),
    (select(constant(1.0, float64) < 2.0, constant(3.0, float64), 4.0), 3.0),
    (call("sigmoid", constant(0.0, float32)), 0.5),
    (call("pow", *constants(float64, 2.0, 10.0)), 1024.0),
    (call("rsqrt", constant(4.0, float32)), 0.5),
    (call("log", constant(0.0, float32)), float("-inf")),
])  # fmt: skip
def test_operators(value, expected):
    result = scalar(value)
    assert result.dtype == value.dtype
    np.testing.assert_equal(result.item(), expected)


def test_float32_arithmetic_stays_float32():
    assert scalar(constant(16777216.0, float32) + 1.0) == np.float32(16777216.0)
    assert scalar(constant(3e38, float32) * 10.0) == np.inf


@pytest.mark.parametrize("dtype", [float32, float64])
def test_fma_rounds_once(dtype):
    rng = np.random.default_rng(1)
    for _ in range(200):
        x, y = rng.standard_normal(2).astype(dtype).tolist()
        z = dtype.type(-x * y * (1 + rng.integers(-1, 2) * 1e-3)).item()
        exact = float(Fraction(x) * Fraction(y) + Fraction(z))
        result = scalar(call("fma", *constants(dtype, x, y, z)))
        assert abs(result - dtype.type(exact)) <= np.spacing(np.abs(dtype.type(exact))) * (dtype == float64)


def test_access_out_of_bounds_names_buffer_indices_and_extents():
    x = Buffer("x", float32, (N, 4))
    store = Store(x, (i, i + 2), constant(0.0, float32))
    kernel = Kernel("bad", (x,), ("n",), (loop("i", Index("n"), store),))
    with pytest.raises(CompileError, match=r"bad: x\[2, 4\] is outside its shape \[3, 4\] where n=3, i=2"):
        interpret(kernel, [np.zeros((3, 4), np.float32)], [3])


def test_negative_index_is_out_of_bounds():
    x = Buffer("x", float32, (4,))
    kernel = Kernel("bad", (x,), (), (Let("v", Load(x, (Const(-1, int64),))),))
    with pytest.raises(CompileError, match=r"x\[-1\] is outside"):
        interpret(kernel, [np.zeros(4, np.float32)], [])


def test_arrays_must_fit():
    x = Buffer("x", float32, (N,))
    kernel = Kernel("k", (x,), ("n",), ())
    for array in (np.zeros(3, np.float32), np.zeros(4, np.float64)):
        with pytest.raises(CompileError, match=r"buffer x wants float32\[4\], got"):
            interpret(kernel, [array], [4])
    with pytest.raises(CompileError, match="takes 1 arrays and 1 extents, got 0 and 1"):
        interpret(kernel, [], [4])


def test_scratch_memory_starts_poisoned_each_time():
    out = Buffer("out", float32, (2,))
    scratch = Buffer("scratch", float32, ())
    body = (Alloc(scratch), Store(out, (i,), Load(scratch, ())), Store(scratch, (), constant(1.0, float32)))
    result = np.zeros(2, np.float32)
    interpret(Kernel("k", (out,), (), (loop("i", 2, *body),)), [result], [])
    assert np.isnan(result).all()


def test_names_end_with_their_block():
    out = Buffer("out", float32, ())
    body = (loop("i", 1, Let("v", constant(1.0, float32))), Store(out, (), Local("v", float32)))
    with pytest.raises(CompileError, match="no let named 'v' is in scope"):
        interpret(Kernel("k", (out,), (), body), [np.zeros((), np.float32)], [])


def test_reverse_shows_a_loop_that_is_not_parallel():
    x = Buffer("x", int64, (N,))
    step = Store(x, (i + 1,), Load(x, (i,)) + 1)
    kernel = Kernel("k", (x,), ("n",), (loop("i", Index("n") - 1, step, mode="parallel"),))
    forward, backward = np.zeros((2, 5), np.int64)
    interpret(kernel, [forward], [5])
    interpret(kernel, [backward], [5], reverse=True)
    assert forward.tolist() == [0, 1, 2, 3, 4]
    assert backward.tolist() != forward.tolist()


def test_lanes_show_a_loop_that_is_not_a_vector():
    x, y = Buffer("x", int64, (N,)), Buffer("y", int64, (N,))
    body = (Store(x, (i,), i), Store(y, (i,), Load(x, (binary("minimum", i + 1, Index("n") - 1),))))
    kernel = Kernel("k", (x, y), ("n",), (loop("i", Index("n"), *body, mode="vector"),))
    results = []
    for lanes in (1, 4):
        arrays = [np.full(6, -1), np.full(6, -1)]
        interpret(kernel, arrays, [6], lanes=lanes)
        results.append(arrays[1].tolist())
    assert results[0] == [-1, -1, -1, -1, -1, 5]
    assert results[1] == [1, 2, 3, -1, 5, 5]


def test_condition_masks_lanes_and_private_names():
    x = Buffer("x", int64, (N,))
    body = (Let("twice", i * 2), If(Local("twice", int64) > 4, (Store(x, (i,), Local("twice", int64)),)))
    kernel = Kernel("k", (x,), ("n",), (loop("i", Index("n"), *body, mode="vector"),))
    for lanes in (1, 4):
        result = np.zeros(6, np.int64)
        interpret(kernel, [result], [6], lanes=lanes)
        assert result.tolist() == [0, 0, 0, 6, 8, 10]


def test_reducers_and_steps():
    out = Buffer("out", float32, (4,))
    value = Cast(i, float32) - 3.0
    body = [Accumulate(out, (Const(p, int64),), value, r)
            for p, r in enumerate(("add", "multiply", "maximum", "minimum"))]  # fmt: skip
    result = np.array([0, 1, -np.inf, np.inf], np.float32)
    interpret(Kernel("k", (out,), (), (loop("i", 7, *body, step=2),)), [result], [])
    assert result.tolist() == [0.0, 9.0, 3.0, -3.0]


def test_deep_expressions_do_not_recurse():
    total: Expr = constant(0, int64)
    out = Buffer("out", int64, ())
    for _ in range(5_000):
        total = Binary("add", constant(1, int64), total)
    result = np.zeros((), np.int64)
    interpret(Kernel("k", (out,), (), (Store(out, (), total),)), [result], [])
    assert result == 5_000
