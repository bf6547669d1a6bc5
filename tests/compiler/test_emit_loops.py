"""Loops, memory and reductions of the code generator against numpy, at edge extents."""


import operator

import numpy as np
import pytest
from kernel_cases import EXTENTS, TARGETS, M, N, buffer, i, j, loop
from kernel_runner import Native, module_text

from compiler.llvm.object import assembly
from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Buffer,
    Cast,
    Expr,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Select,
    Store,
    constant,
    index,
)
from symgraph.types import bool_, float32, float64, int32, int64


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
def test_an_index_compared_with_a_number(dtype, target):
    """One comparison in 32 bits a lane, right for numbers far outside of its range."""
    x, y, outs = buffer("x", dtype), buffer("y", int64, 1), [buffer(f"o{t}", dtype) for t in range(12)]
    number, far, value = Load(y, (index(0),)), i * 3 - 7, Load(x, (i,))
    ops = ["lt", "le", "gt", "ge", "eq", "ne"]
    tests = [Binary(op, far, number) for op in ops] + [Binary(op, number, i) for op in ops]
    body = [Store(o, (i,), Select(t, value, -value)) for o, t in zip(outs, tests, strict=True)]
    run = Native(Kernel("compared", (x, y, *outs), ("n",), (loop("i", N, *body),)), target)
    a, n = np.arange(1, 78, dtype=dtype), 77
    for k in (-(2**63), -(2**31), -8, -7, -1, 0, 5, 14, 16, 76, 77, 224, 2**31 + 5, 2**32 + 14, 2**63 - 1):
        got = [np.zeros(n, dtype) for _ in outs]
        run(a, np.array([k]), *got, extents={"n": n})
        three, one = np.arange(n) * 3 - 7, np.arange(n)
        wanted = [np.where(getattr(operator, op)(three, k), a, -a) for op in ops]
        wanted += [np.where(getattr(operator, op)(k, one), a, -a) for op in ops]
        for t, (g, w) in enumerate(zip(got, wanted, strict=True)):
            np.testing.assert_array_equal(g, w, err_msg=f"{k} {t}")


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


def test_accumulators_are_registers_although_a_loop_that_never_runs_indexes_them():
    x, o, held = buffer("x", float32), buffer("o", float32, 4), Buffer("held", float32, (4,))
    value = Load(held, (j,)) + Load(x, (i,))
    clear = loop("j", 4, Store(held, (j,), constant(0.0, float32)), mode="unroll")
    sums = (Accumulate(held, (index(t),), Load(x, (i,)), "add") for t in range(4))
    add = loop("i", N, *sums, mode="serial")
    rest = loop("i", 0, loop("j", 4, Store(held, (j,), value), mode="serial"), mode="serial")
    keep = loop("j", 4, Store(o, (j,), Load(held, (j,))), mode="unroll")
    kernel = Kernel("held", (x, o), ("n",), (Alloc(held), clear, add, rest, keep))
    target = Target("x86_64-unknown-linux-gnu", "x86-64-v3")
    text, _ = module_text(kernel, target)
    assert "alloca" in text and "rsp" not in assembly(text, target)
    a, got = np.arange(5, dtype=np.float32), np.zeros(4, np.float32)
    Native(kernel)(a, got, extents={"n": 5})
    np.testing.assert_array_equal(got, np.full(4, 10.0))
