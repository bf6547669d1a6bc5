"""The code generator's operators against numpy, and what it refuses."""

from fractions import Fraction

import numpy as np
import pytest
from kernel_cases import EXTENTS, TARGETS, N, buffer, floats, i, loop, map_kernel
from kernel_runner import Native, module_text

from compiler.llvm.emit import emit_kernel
from compiler.llvm.object import assembly
from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Alloc,
    Binary,
    Buffer,
    Cast,
    Expr,
    Kernel,
    Load,
    Select,
    Store,
    Unary,
    call,
    constant,
    index,
)
from symgraph.errors import CompileError
from symgraph.types import bool_, float32, float64, int32, int64

BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
NUMPY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_float_operators_are_bitwise_numpys(dtype, target):
    kernel, _ = map_kernel(dtype, dtype, *(lambda x, y, o=o: Binary(o, x, y) for o in BINARY))
    run, generator = Native(kernel, target), np.random.default_rng(0)
    for n in EXTENTS:
        x, y = floats(generator, n, dtype), np.roll(floats(generator, n, dtype), 3)
        outs = [np.full(n, 9, dtype) for _ in BINARY]
        run(x, y, *outs, extents={"n": n})
        with np.errstate(all="ignore"):
            for op, out in zip(BINARY, outs, strict=True):
                np.testing.assert_array_equal(out, NUMPY[op](x, y), err_msg=f"{op} {n}")


@pytest.mark.parametrize("dtype", [float32, float64, int32, int64, bool_])
def test_comparisons(dtype):
    ops = ["lt", "le", "gt", "ge", "eq", "ne"]
    kernel, _ = map_kernel(dtype, bool_, *(lambda x, y, o=o: Binary(o, x, y) for o in ops))
    run, generator = Native(kernel), np.random.default_rng(1)
    x, y = generator.integers(-2, 2, (2, 77)).astype(dtype)
    outs = [np.zeros(77, bool) for _ in ops]
    run(x, y, *outs, extents={"n": 77})
    for op, out in zip(ops, outs, strict=True):
        np.testing.assert_array_equal(out, NUMPY[op](x, y), err_msg=op)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_float_unary(dtype, target):
    ops = {"neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "round": np.rint}
    kernel, _ = map_kernel(dtype, dtype, *(lambda x, y, o=o: Unary(o, x) for o in ops))
    x = floats(np.random.default_rng(2), 50, dtype)
    outs = [np.zeros(50, dtype) for _ in ops]
    Native(kernel, target)(x, x.copy(), *outs, extents={"n": 50})
    with np.errstate(all="ignore"):
        for function, out in zip(ops.values(), outs, strict=True):
            np.testing.assert_array_equal(out, function(x))


@pytest.mark.parametrize("dtype", [int32, int64])
def test_integer_division_is_total(dtype):
    low = np.iinfo(dtype).min
    kernel, _ = map_kernel(
        dtype, dtype,
        lambda x, y: Binary("div", x, y), lambda x, y: Binary("mod", x, y),
        lambda x, y: Binary("div", x, constant(7, dtype)), lambda x, y: Binary("mod", x, constant(7, dtype)),
        lambda x, y: Binary("div", x, constant(8, dtype)), lambda x, y: Binary("mod", x, constant(8, dtype)),
    )
    values = np.array([low, low + 1, -8, -7, -1, 0, 1, 7, 8, np.iinfo(dtype).max], dtype)
    x, y = (g.ravel().copy() for g in np.meshgrid(values, values))
    outs = [np.zeros(x.size, dtype) for _ in range(6)]
    Native(kernel)(x, y, *outs, extents={"n": x.size})
    divisors = [y, y, *(np.full_like(y, d) for d in (7, 7, 8, 8))]
    for out, d, mod in zip(outs, divisors, [False, True] * 3, strict=True):
        pairs = zip(x.tolist(), d.tolist(), strict=True)
        wanted = [0 if b == 0 else (a % b if mod else a // b) for a, b in pairs]
        wrapped = np.array([w if w <= np.iinfo(dtype).max else low for w in wanted], dtype)
        np.testing.assert_array_equal(out, wrapped)


def test_integer_logic_and_shifts():
    ops = ["and", "or", "xor", "add", "sub", "mul", "maximum", "minimum"]
    kernel, _ = map_kernel(
        int32, int32, *(lambda x, y, o=o: Binary(o, x, y) for o in ops),
        lambda x, y: Binary("shift_left", x, y), lambda x, y: Binary("shift_right", x, constant(3, int32)),
        lambda x, y: ~x, lambda x, y: Unary("abs", x), lambda x, y: -x,
    )
    generator = np.random.default_rng(3)
    x = generator.integers(-(2**31), 2**31, 99).astype(np.int32)
    y = generator.integers(0, 40, 99).astype(np.int32)
    outs = [np.zeros(99, np.int32) for _ in range(len(ops) + 5)]
    Native(kernel)(x, y, *outs, extents={"n": 99})
    for op, out in zip(ops, outs, strict=False):
        np.testing.assert_array_equal(out, NUMPY[op](x, y), err_msg=op)
    shifted = np.where(y < 32, (x.astype(np.int64) << y).astype(np.int32), 0)
    logical = (x.view(np.uint32) >> 3).view(np.int32)
    for out, wanted in zip(outs[len(ops):], [shifted, logical, ~x, np.abs(x), -x], strict=True):
        np.testing.assert_array_equal(out, wanted)


def test_casts_do_not_trap_or_poison():
    x = floats(np.random.default_rng(4), 40, np.float32)
    source = buffer("x", float32)
    outs = [buffer("a", int32), buffer("b", int64), buffer("c", float64), buffer("d", bool_)]
    stores = [Store(o, (i,), Cast(Load(source, (i,)), o.dtype)) for o in outs]
    arrays = [np.zeros(40, o.dtype) for o in outs]
    Native(Kernel("casts", (source, *outs), ("n",), (loop("i", N, *stores),)))(x, *arrays, extents={"n": 40})
    clean = np.nan_to_num(x.astype(np.float64), nan=0.0)
    limits = np.iinfo(np.int32)
    np.testing.assert_array_equal(arrays[0], np.clip(clean, limits.min, limits.max).astype(np.int32))
    inside = np.abs(clean) < 2**62
    np.testing.assert_array_equal(arrays[1][inside], clean[inside].astype(np.int64))
    np.testing.assert_array_equal(arrays[2], x.astype(np.float64))
    np.testing.assert_array_equal(arrays[3], x.astype(bool))


def test_bits_and_fma_and_select():
    x, a, b = buffer("x", float32), buffer("a", int32), buffer("b", float32)
    value = Load(x, (i,))
    again = Unary("bits_as_float", Load(a, (i,)))
    body = (
        Store(a, (i,), Unary("bits_as_int", value)),
        Store(b, (i,), Select(value > 0.0, call("fma", value, value, 1.0), again)),
    )
    xs = floats(np.random.default_rng(5), 33, np.float32)
    bits, out = np.zeros(33, np.int32), np.zeros(33, np.float32)
    Native(Kernel("bits", (x, a, b), ("n",), (loop("i", N, *body),)))(xs, bits, out, extents={"n": 33})
    np.testing.assert_array_equal(bits, xs.view(np.int32))
    with np.errstate(all="ignore"):
        wanted = np.where(xs > 0, (xs.astype(np.float64) ** 2 + 1).astype(np.float32), xs)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_fma_rounds_once_even_where_it_is_not_an_instruction(dtype, target):
    kernel, _ = map_kernel(
        dtype, dtype, lambda x, y: call("fma", x, y, -(x * y)), lambda x, y: call("fma", x, y, x)
    )
    generator = np.random.default_rng(17)
    x, y = generator.standard_normal((2, 100)).astype(dtype)
    error, total = np.zeros(100, dtype), np.zeros(100, dtype)
    Native(kernel, target)(x, y, error, total, extents={"n": 100})
    exact = [Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    lost = [float(e - Fraction(float(p))) for e, p in zip(exact, x * y, strict=True)]
    np.testing.assert_array_equal(error, np.array(lost, dtype))
    wanted = [float(e + Fraction(float(a))) for e, a in zip(exact, x, strict=True)]
    np.testing.assert_array_max_ulp(total, np.array(wanted, dtype), 1)


def test_fma_of_infinities_and_large_numbers():
    kernel, _ = map_kernel(float64, float64, lambda x, y: call("fma", x, y, y))
    x, y = np.array([np.inf, 1e305, -1e305, 1.0, np.nan]), np.array([2.0, 2.0, 1e10, -np.inf, 1.0])
    for target in TARGETS:
        out = np.zeros(5)
        Native(kernel, target)(x, y, out, extents={"n": 5})
        np.testing.assert_array_equal(out, [np.inf, 2e305, -np.inf, -np.inf, np.nan])


def test_float_remainder():
    kernel, _ = map_kernel(float32, float32, lambda x, y: Binary("mod", x, y))
    x = np.array([5, -5, 5, -5, 0, 7.5, 1e6, 5, -5, 1], np.float32)
    y = np.array([3, 3, -3, -3, 2, 2.5, 7, np.inf, np.inf, 0], np.float32)
    out = np.zeros(10, np.float32)
    Native(kernel)(x, y, out, extents={"n": 10})
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, np.mod(x, y))


def test_nothing_calls_the_math_library():
    target = Target("x86_64-unknown-linux-gnu", "x86-64")
    kernel, _ = map_kernel(
        float32, float32, lambda x, y: call("fma", x, y, x), lambda x, y: Unary("floor", x),
        lambda x, y: Unary("round", x), lambda x, y: Binary("mod", x, y), lambda x, y: x * 0.0,
    )
    text = assembly(module_text(kernel, target)[0], target)
    assert "call" not in text


def test_a_chain_of_ten_thousand_operations_neither_recurses_nor_explodes():
    x, o = buffer("x"), buffer("o")
    value: Expr = Load(x, (i,))
    for _ in range(100):
        value = value + value  # shared: 2**100 paths
    for _ in range(10_000):
        value = -value
    kernel = Kernel("deep", (x, o), ("n",), (loop("i", N, Store(o, (i,), value)),))
    text = emit_kernel(kernel, Target.host()).text
    assert text.count("fadd") == 200 and text.count("fneg") == 20_000  # once whole, once masked


def test_text_is_the_same_every_time():
    kernel, _ = map_kernel(float32, float32, *(lambda x, y, o=o: Binary(o, x, y) for o in BINARY))
    assert emit_kernel(kernel, Target.host()) == emit_kernel(kernel, Target.host())


@pytest.mark.parametrize("body,words", [
    ((loop("i", N, loop("j", N, mode="parallel")),), "outermost"),
    ((loop("i", N, loop("j", N)),), "inside another"),
    ((loop("i", N, mode="unroll"),), "static"),
    ((Alloc(Buffer("big", float32, (1 << 20,))),), "kernel buffer"),
    ((Alloc(Buffer("named", float32, (N,))),), "named"),
    ((Store(buffer("o"), (i,), constant(0, float32)),), "not bound"),
    ((Store(buffer("zz"), (index(0),), constant(0, float32)),), "not in scope"),
    ((Store(buffer("o"), (), constant(0, float32)),), "axes"),
    ((Store(buffer("o"), (index(0),), call("exp", constant(0, float32))),), "expand_math"),
    ((loop("i", N, step=0, mode="serial"),), "positive"),
])
def test_broken_kernels_are_refused_with_a_reason(body, words):
    with pytest.raises(CompileError, match=words):
        emit_kernel(Kernel("broken", (buffer("o"),), ("n",), body), Target.host())
