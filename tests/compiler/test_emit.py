"""The code generator against numpy: every operator, memory pattern and loop mode, at edge extents."""

from fractions import Fraction

import numpy as np
import pytest
from kernel_runner import Native, module_text

from compiler.llvm.emit import emit_kernel
from compiler.llvm.object import assembly
from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Buffer,
    Cast,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Mode,
    Select,
    Store,
    Unary,
    call,
    constant,
    index,
)
from symgraph.dimension import Dim
from symgraph.errors import CompileError
from symgraph.types import bool_, float32, float64, int32, int64

N, M = Dim.named("n"), Dim.named("m")
EXTENTS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000)
i, j = Index("i"), Index("j")
TARGETS = [Target.host(), Target(Target.host().triple, "x86-64-v3"), Target(Target.host().triple, "x86-64")]


def loop(name: str, stop: object, *body, mode: Mode = "vector", start: object = 0, step: int = 1) -> For:
    return For(name, index(start), index(stop), tuple(body), step, mode)  # pyright: ignore


def buffer(name: str, dtype=float32, *shape) -> Buffer:
    return Buffer(name, dtype, shape or (N,))


def map_kernel(dtype, out, *functions) -> tuple[Kernel, list[Buffer]]:
    """out_t[i] = f_t(x[i], y[i]) in one vector loop."""
    x, y = buffer("x", dtype), buffer("y", dtype)
    outs = [buffer(f"o{t}", out) for t in range(len(functions))]
    stores = [Store(o, (i,), f(Load(x, (i,)), Load(y, (i,)))) for o, f in zip(outs, functions, strict=True)]
    return Kernel("map", (x, y, *outs), ("n",), (loop("i", N, *stores),)), outs


def floats(generator, n, dtype):
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 1e30, -1e30, 0.5, 1.5, 2.5, -0.5], dtype)
    values = (generator.standard_normal(n) * 10).astype(dtype)
    values[: min(n, len(special))] = special[: min(n, len(special))]
    return values


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
def test_memory_patterns(target):
    """Reversed, strided, transposed, broadcast and gathered reads; reversed and scattered writes."""
    x, ids = buffer("x", float32, N, M), buffer("ids", int64, N)
    outs = [buffer(f"o{t}", float32) for t in range(6)]
    last = index(N) - 1
    reads: list[Expr] = [
        Load(x, (last - i, index(0))), Load(x, (i, index(1))), Load(x, (index(0), index(2))),
        Load(x, (Load(ids, (i,)), index(1))), Load(x, (index(0), i % M_EXPR)),
    ]
    body = [Store(o, (i,), r) for o, r in zip(outs, reads, strict=False)]
    body.append(Store(outs[5], (last - i,), Load(x, (i, index(1)))))
    run = Native(Kernel("patterns", (x, ids, *outs), ("n", "m"), (loop("i", N, *body),)), target)
    generator = np.random.default_rng(6)
    for n in (1, 5, 16, 33, 100):
        a, order = generator.random((n, 3), np.float32), generator.integers(0, n, n)
        got = [np.zeros(n, np.float32) for _ in outs]
        run(a, order, *got, extents={"n": n, "m": 3})
        wanted = [a[::-1, 0], a[:, 1], np.full(n, a[0, 2]), a[order, 1], a[0, np.arange(n) % 3], a[::-1, 1]]
        for t, (g, w) in enumerate(zip(got, wanted, strict=True)):
            np.testing.assert_array_equal(g, w, err_msg=str(t))


M_EXPR = index(M)


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


def test_bool_memory():
    x, y, o = buffer("x", bool_), buffer("y", bool_), buffer("o", bool_)
    body = Store(o, (i,), Select(Load(x, (i,)), ~Load(y, (i,)), Load(y, (i,))))
    run = Native(Kernel("bools", (x, y, o), ("n",), (loop("i", N, body),)))
    generator = np.random.default_rng(7)
    for n in EXTENTS:
        a, b, out = generator.random(n) > 0.5, generator.random(n) > 0.5, np.zeros(n, bool)
        run(a, b, out, extents={"n": n})
        np.testing.assert_array_equal(out, a ^ b)


def reduction(dtype=float32, reducer="add") -> Kernel:
    """o[0] = reducer over x, and what o[0] held."""
    x, o = buffer("x", dtype), buffer("o", dtype, 1)
    total = Accumulate(o, (index(0),), Load(x, (i,)), reducer)
    return Kernel("total", (x, o), ("n",), (loop("i", N, total),))


@pytest.mark.parametrize("dtype", [float32, float64, int32, int64])
@pytest.mark.parametrize("reducer", ["add", "multiply", "maximum", "minimum"])
def test_reductions(dtype, reducer):
    run = Native(reduction(dtype, reducer))
    function = {"add": np.sum, "multiply": np.prod, "maximum": np.max, "minimum": np.min}[reducer]
    generator = np.random.default_rng(8)
    for n in EXTENTS:
        factors = reducer == "multiply"
        values = (generator.random(n) + 0.5 if factors else generator.standard_normal(n) * 9).astype(dtype)
        out = np.full(1, 2, dtype)
        run(values, out, extents={"n": n})
        with np.errstate(over="ignore"):
            wanted = function(np.append(values, dtype.type(2))).astype(dtype)
        np.testing.assert_allclose(out[0], wanted, rtol=1e-4 if dtype == float32 else 1e-12, err_msg=str(n))


def test_maximum_reduction_propagates_nan():
    run = Native(reduction(float32, "maximum"))
    for n in (1, 17, 100):
        for at in (0, n // 2, n - 1):
            values, out = np.zeros(n, np.float32), np.full(1, -np.inf, np.float32)
            values[at] = np.nan
            run(values, out, extents={"n": n})
            assert np.isnan(out[0])


def test_float_sums_are_as_accurate_as_numpys():
    run = Native(reduction())
    generator = np.random.default_rng(9)
    for n in (10_000, 1_000_000):
        for values in (generator.random(n, np.float32), np.full(n, 0.1, np.float32)):
            out, exact = np.zeros(1, np.float32), values.sum(dtype=np.float64)
            run(values, out, extents={"n": n})
            # Half a unit in the last place is what any float32 answer may lose.
            allowed = 4 * abs(values.sum() - exact) + np.spacing(np.float32(exact))
            assert abs(out[0] - exact) <= allowed, n


def test_infinite_sums_stay_infinite():
    run = Native(reduction())
    values, out = np.ones(100_000, np.float32), np.zeros(1, np.float32)
    values[5] = np.inf
    run(values, out, extents={"n": values.size})
    assert out[0] == np.inf


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
def test_conditions_mask_lanes(target):
    """Nested conditions, a reduction below them, and a uniform load that must not fault when masked off."""
    x, o, s, far = buffer("x"), buffer("o"), buffer("s", float32, 1), buffer("far", float32, 1)
    inner = If(i < 50, (Accumulate(s, (index(0),), Load(x, (i,))), Store(o, (i,), Load(x, (i,)) * 2.0)))
    dangerous = If(i > 10**9, (Store(o, (i,), Load(far, (index(2**40),))),))
    body = loop("i", N, If(Load(x, (i,)) > 0.0, (inner,)), dangerous)
    run = Native(Kernel("masks", (x, o, s, far), ("n",), (body,)), target)
    generator = np.random.default_rng(10)
    for n in EXTENTS:
        values = generator.standard_normal(n).astype(np.float32)
        out, total = np.full(n, 7, np.float32), np.zeros(1, np.float32)
        run(values, out, total, np.zeros(1, np.float32), extents={"n": n})
        taken = (values > 0) & (np.arange(n) < 50)
        np.testing.assert_array_equal(out, np.where(taken, values * 2, np.float32(7)))
        np.testing.assert_allclose(total[0], values[taken].sum(dtype=np.float64), rtol=1e-5)


def test_lets_allocs_and_serial_loops_below_a_vector_loop_are_private_to_a_lane():
    """o[i] = sum over k of x[k, i]**2 through a lane's own accumulator and a lane's own table."""
    x, o = buffer("x", float32, M, N), buffer("o")
    own, table = Buffer("own", float32, ()), Buffer("table", float32, (4,))
    k = Index("k")
    square = Let("v", Load(x, (k, i)))
    body = loop(
        "i", N, Alloc(own), Alloc(table), Store(own, (), constant(0, float32)),
        loop("t", 4, Store(table, (Index("t"),), constant(0, float32)), mode="serial"),
        loop("k", M, square, Accumulate(own, (), Local("v", float32) * Local("v", float32)),
             Accumulate(table, (k % 4,), Local("v", float32)), mode="serial"),
        Store(o, (i,), Load(own, ()) + Load(table, (i % 4,))),
    )
    run, generator = Native(Kernel("private", (x, o), ("n", "m"), (body,))), np.random.default_rng(11)
    for n in (1, 16, 21, 40):
        a, out = generator.standard_normal((6, n)).astype(np.float32), np.zeros(n, np.float32)
        run(a, out, extents={"n": n, "m": 6})
        folded = np.array([a[c % 4::4, c].sum() for c in range(n)])
        np.testing.assert_allclose(out, (a.astype(np.float64) ** 2).sum(0) + folded, rtol=1e-5, atol=1e-5)


def test_scattered_sums_with_repeated_places_lose_nothing():
    ids, x, o = buffer("ids", int64), buffer("x"), buffer("o", float32, 5)
    body = loop("i", N, Accumulate(o, (Load(ids, (i,)),), Load(x, (i,))))
    run, generator = Native(Kernel("scatter", (ids, x, o), ("n",), (body,))), np.random.default_rng(12)
    for n in (0, 1, 16, 50):
        places, values = generator.integers(0, 5, n), generator.random(n, np.float32)
        out, wanted = np.zeros(5, np.float32), np.zeros(5, np.float64)
        run(places, values, out, extents={"n": n})
        np.add.at(wanted, places, values)
        np.testing.assert_allclose(out, wanted, rtol=1e-6)


def test_reduction_whose_place_moves_with_an_inner_loop():
    """o[k] += sum over i of x[k, i], with the vector loop outside: no place is fixed for the whole loop."""
    x, o = buffer("x", float32, 3, N), buffer("o", float32, 3)
    k = Index("k")
    body = loop("i", N, loop("k", 3, Accumulate(o, (k,), Load(x, (k, i))), mode="serial"))
    a, out = np.random.default_rng(13).random((3, 37), np.float32), np.zeros(3, np.float32)
    Native(Kernel("moving", (x, o), ("n",), (body,)))(a, out, extents={"n": 37})
    np.testing.assert_allclose(out, a.sum(1), rtol=1e-5)


RANGES = [(0, 37, 1), (3, 40, 1), (2, 99, 3), (5, 5, 1), (0, 3, 1), (1, 2, 1)]


@pytest.mark.parametrize("start,stop,step", RANGES)
def test_static_vector_loops(start, stop, step):
    x, o, s = buffer("x", float32, 100), buffer("o", float32, 100), Buffer("s", float32, ())
    body = (Store(o, (i,), Load(x, (i,)) + Cast(i, float32)), Accumulate(s, (), Load(x, (i,))))
    kernel = Kernel("static", (x, o, s), (), (loop("i", stop, *body, start=start, step=step),))
    a = np.random.default_rng(14).random(100, np.float32)
    out, total = np.zeros(100, np.float32), np.zeros((), np.float32)
    Native(kernel)(a, out, total)
    wanted, chosen = np.zeros(100, np.float32), np.arange(start, stop, step)
    wanted[chosen] = a[chosen] + chosen
    np.testing.assert_allclose(out, wanted, rtol=1e-6)
    np.testing.assert_allclose(total, a[chosen].sum(), rtol=1e-5)


def test_parallel_loop_runs_the_iterations_it_is_given():
    o = buffer("o", float32, N)
    kernel = Kernel("split", (o,), ("n",), (
        loop("i", N, Store(o, (i,), Cast(i, float32)), mode="parallel", start=2, step=3),
    ))
    run = Native(kernel)
    assert run.parallel
    assert [run.tasks(n) for n in (0, 2, 3, 5, 6, 20)] == [0, 0, 1, 1, 2, 6]
    out = np.full(20, -1, np.float32)
    run.function(out.ctypes.data, 20, 1, 3)
    np.testing.assert_array_equal(np.flatnonzero(out >= 0), [5, 8])


@pytest.mark.parametrize("offset", [0, 1, 16])
def test_streaming_stores_at_any_alignment(offset):
    x, o = buffer("x"), buffer("o")
    kernel = Kernel("stream", (x, o), ("n",), (loop("i", N, Store(o, (i,), Load(x, (i,)) * 2.0, True)),))
    assert "!nontemporal" in module_text(kernel, Target.host())[0]
    a, memory = np.random.default_rng(15).random(1000, np.float32), np.zeros(1100, np.float32)
    out = memory[offset:offset + 1000]
    Native(kernel)(a, out, extents={"n": 1000})
    np.testing.assert_array_equal(out, a * 2)
    assert not memory[offset + 1000:].any()


@pytest.mark.parametrize("dtype", [float32, float64, int32])
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
def test_transposition_is_turned_in_registers(dtype, target):
    """o[i, j] = x[j, i] + i over blocks of L by L: no scattered store where whole blocks remain."""
    lanes = target.lanes(dtype)
    x, o = buffer("x", dtype, M, N), buffer("o", dtype, N, M)
    place = index(M) // lanes * lanes
    value = Load(x, (Index("b") + j, Index("a") + i)) + Cast(Index("a") + i, dtype)
    turn = loop("j", lanes, Store(o, (Index("a") + i, Index("b") + j), value), mode="unroll")
    across = loop("b", place, loop("i", lanes, turn), mode="serial", step=lanes)
    nest = loop("a", N, across, mode="serial", step=lanes)
    kernel = Kernel("turn", (x, o), ("n", "m"), (nest,))
    assert "scatter" not in module_text(kernel, target)[0] or lanes < 4
    a = (np.random.default_rng(16).random((3 * lanes, 2 * lanes)) * 99).astype(dtype)
    out = np.zeros((2 * lanes, 3 * lanes), dtype)
    Native(kernel, target)(a, out, extents={"n": 2 * lanes, "m": 3 * lanes})
    np.testing.assert_array_equal(out, a.T + np.arange(2 * lanes, dtype=dtype)[:, None])


def test_tails_do_not_touch_what_lies_behind():
    x, o = buffer("x"), buffer("o")
    run = Native(Kernel("edge", (x, o), ("n",), (loop("i", N, Store(o, (i,), Load(x, (i,)))),)))
    for n in EXTENTS:
        memory = np.full(n + 64, 5, np.float32)
        run(np.zeros(n, np.float32), memory[:n], extents={"n": n})
        assert not memory[:n].any() and (memory[n:] == 5).all()


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
