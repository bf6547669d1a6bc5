"""Schedules: legal ones compute the same, natively and in the interpreter; illegal ones say why."""

from dataclasses import replace

import numpy as np
import pytest
from kernel_runner import Native

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Statement,
    Store,
    constant,
    index,
)
from compiler.loop.interpreter import interpret
from compiler.loop.rewrite import linear, substitute
from compiler.schedule.dependence import conflict
from compiler.schedule.jam import jam
from compiler.schedule.transform import parallelize, reorder, split, tile, unroll, vectorize
from symgraph.dimension import Dim
from symgraph.errors import CompileError
from symgraph.types import float32, int64

N, M = Dim.named("n"), Dim.named("m")
i, j, k = Index("i"), Index("j"), Index("k")


def loop(name: str, stop, *body: Statement, start=0, step: int = 1) -> For:
    return For(name, index(start), index(stop), body, step)


def matrix(name: str, *shape) -> Buffer:
    return Buffer(name, float32, shape)


def product(m=M, n=N, depth: int = 7) -> Kernel:
    """c += a @ b in the textbook's order."""
    a, b, c = matrix("a", m, depth), matrix("b", depth, n), matrix("c", m, n)
    update = Accumulate(c, (i, j), Load(a, (i, k)) * Load(b, (k, j)))
    body = loop("i", m, loop("j", n, loop("k", depth, update)))
    return Kernel("product", (a, b, c), ("m", "n"), (body,))


def scale(extent=N) -> Kernel:
    x, y = matrix("x", extent), matrix("y", extent)
    return Kernel("scale", (x, y), ("n",), (loop("i", extent, Store(y, (i,), Load(x, (i,)) * 2.0)),))


def check_product(kernel: Kernel, exact: bool = True) -> None:
    """Native and interpreted results against the unscheduled kernel's."""
    generator = np.random.default_rng(0)
    native = Native(kernel)
    for m, n in ((1, 1), (5, 9), (8, 16), (13, 33), (0, 3)):
        a, b = generator.random((m, 7), np.float32), generator.random((7, n), np.float32)
        results = [np.ones((m, n), np.float32) for _ in range(4)]
        interpret(product(), (a, b, results[0]), (m, n))
        native(a, b, results[1], extents={"m": m, "n": n})
        interpret(kernel, (a, b, results[2]), (m, n))
        interpret(kernel, (a, b, results[3]), (m, n), lanes=4, reverse=True)
        for result in results[1:]:
            if exact:
                np.testing.assert_array_equal(result, results[0])
            else:
                np.testing.assert_allclose(result, results[0], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4, 7, 16])
def test_split_is_bitwise_the_same(size):
    for name in "ijk":
        check_product(split(product(), name, size, outer="outer", inner="inner"))


def test_split_of_a_loop_with_start_and_step():
    x = matrix("x", 50)
    body = loop("i", 41, Store(x, (i,), constant(1, float32)), start=3, step=4)
    kernel = split(Kernel("strided", (x,), (), (body,)), "i", 3, outer="o", inner="p")
    out = np.zeros(50, np.float32)
    Native(kernel)(out)
    np.testing.assert_array_equal(np.flatnonzero(out), np.arange(3, 41, 4))


def test_orders_of_the_textbook_product():
    check_product(reorder(product(), "j", "k"))
    check_product(reorder(product(), "i", "j"))
    check_product(reorder(reorder(product(), "j", "k"), "i", "k"))


def test_tiled_vectorized_parallel_product():
    kernel = reorder(product(), "j", "k")
    kernel = split(kernel, "i", 4, outer="rows", inner="row")
    kernel = parallelize(vectorize(kernel, "j"), "rows")
    check_product(kernel)
    assert Native(kernel).parallel


def test_vectorized_reduction():
    check_product(vectorize(product(), "k"), exact=False)


def test_tile_and_unroll():
    kernel = tile(product(8, 16), ("i", "j"), (4, 8))
    kernel = vectorize(unroll(kernel, "i_inner"), "k")
    a, b = (np.random.default_rng(1).random(s, np.float32) for s in ((8, 7), (7, 16)))
    out = np.zeros((8, 16), np.float32)
    Native(kernel)(a, b, out, extents={"m": 8, "n": 16})
    np.testing.assert_allclose(out, a @ b, rtol=1e-5)


def test_elementwise_scale_in_every_mode():
    x = np.random.default_rng(2).random(77, np.float32)
    pieces = split(scale(), "i", 16, outer="o", inner="p")
    kernels = [vectorize(scale(), "i"), parallelize(scale(), "i"), parallelize(vectorize(pieces, "p"), "o")]
    for kernel in kernels:
        y = np.zeros(77, np.float32)
        Native(kernel)(x, y, extents={"n": 77})
        np.testing.assert_array_equal(y, x * 2)


def test_own_scratch_and_lets_do_not_stand_in_the_way():
    x, y, own = matrix("x", N), matrix("y", N), Buffer("own", float32, ())
    body = (
        Alloc(own), Store(own, (), Load(x, (i,))), Let("v", Load(own, ()) + 1.0),
        If(Local("v", float32) > 0.0, (Store(y, (i,), Local("v", float32)),)),
    )
    assert conflict(loop("i", N, *body)) is None


def prefix_sum() -> Kernel:
    x = matrix("x", N)
    body = loop("i", N, Store(x, (i,), Load(x, (i - 1,)) + Load(x, (i,))), start=1)
    return Kernel("prefix", (x,), ("n",), (body,))


def total() -> Kernel:
    x, s = matrix("x", N), matrix("s", 1)
    return Kernel("total", (x, s), ("n",), (loop("i", N, Accumulate(s, (index(0),), Load(x, (i,)))),))


def scattered() -> Kernel:
    ids, s = Buffer("ids", int64, (N,)), matrix("s", M)
    body = loop("i", N, Accumulate(s, (Load(ids, (i,)),), constant(1, float32)))
    return Kernel("scattered", (ids, s), ("n", "m"), (body,))


def read_total() -> Kernel:
    """A sum that is also read in the loop: not a reduction."""
    x, s = matrix("x", N), matrix("s", 1)
    zero = (index(0),)
    body = loop("i", N, Accumulate(s, zero, Load(x, (i,))), Store(x, (i,), Load(s, zero)))
    return Kernel("running", (x, s), ("n",), (body,))


def overlapping() -> Kernel:
    """Iterations write two places each, one of them the next iteration's."""
    x = matrix("x", N)
    one = constant(1, float32)
    return Kernel("overlap", (x,), ("n",), (loop("i", N, Store(x, (i,), one), Store(x, (i + 1,), one)),))


@pytest.mark.parametrize("change,words", [
    (lambda: parallelize(prefix_sum(), "i"), "may meet in x"),
    (lambda: vectorize(prefix_sum(), "i"), "may meet in x"),
    (lambda: parallelize(total(), "i"), "may meet in s"),
    (lambda: parallelize(scattered(), "i"), "may meet in s"),
    (lambda: vectorize(scattered(), "i"), "may meet in s"),
    (lambda: vectorize(read_total(), "i"), "may meet in s"),
    (lambda: parallelize(overlapping(), "i"), "may meet in x"),
    (lambda: parallelize(product(), "k"), "outermost"),
    (lambda: reorder(product(), "i", "k"), "not alone"),
    (lambda: unroll(product(), "i"), "not static"),
    (lambda: unroll(scale(1000), "i"), "copies"),
    (lambda: vectorize(vectorize(product(), "k"), "j"), "already is vector"),
    (lambda: vectorize(vectorize(scale(), "i"), "i"), "already vector"),
    (lambda: split(scale(), "q", 2, outer="a", inner="b"), "0 loops"),
    (lambda: split(scale(), "i", 0, outer="a", inner="b"), "positive"),
    (lambda: split(scale(), "i", 4, outer="i", inner="b"), "already used"),
    (lambda: split(vectorize(scale(), "i"), "i", 4, outer="a", inner="b"), "before"),
])
def test_illegal_schedules_are_refused_with_a_reason(change, words):
    with pytest.raises(CompileError, match=words):
        change()


def test_reorder_refuses_what_would_change_the_result():
    """x[i, j] from x[i - 1, j + 1]: exchanging the loops would read values not yet written."""
    x = matrix("x", N, N)
    body = Store(x, (i, j), Load(x, (i - 1, j + 1)))
    nest = loop("i", N, loop("j", index(N) - 1, body), start=1)
    with pytest.raises(CompileError, match="may meet"):
        reorder(Kernel("wave", (x,), ("n",), (nest,)), "i", "j")
    triangle = loop("i", N, loop("j", i, Store(x, (i, j), constant(0, float32))))
    with pytest.raises(CompileError, match="bounds"):
        reorder(Kernel("triangle", (x,), ("n",), (triangle,)), "i", "j")


def test_split_pieces_are_still_independent():
    kernel = split(scale(), "i", 8, outer="o", inner="p")
    outer = kernel.body[0]
    assert isinstance(outer, For) and conflict(outer) is None


def test_linear_forms():
    form = linear((i + 3) * 4 - j * 2 + 1)
    assert form is not None and form.factors == {"i": 4, "j": -2} and form.constant == 13
    assert linear(i * j) is None and linear(i % 2) is None
    cancelled = linear(i - i)
    assert cancelled is not None and not cancelled.factors


def test_substitution_keeps_shared_parts_shared_and_does_not_recurse():
    value: Expr = Binary("add", i, j)
    for _ in range(5000):
        value = Binary("xor", value, value)
    changed = substitute(value, {"i": Const(3, int64)})
    assert isinstance(changed, Binary) and changed.x is changed.y


def rows(extent, width: int) -> Kernel:
    """y = x / (1 + sum of the row's squares), and the sum of every column of x."""
    x, y, total = matrix("x", extent, width), matrix("y", extent, width), matrix("total", width)
    square, scale = Buffer("square", float32, ()), Local("scale", float32)
    body = (
        Alloc(square), Store(square, (), constant(0.0, float32)),
        loop("j", width, Let("v", Load(x, (i, j))),
             Accumulate(square, (), Local("v", float32) * Local("v", float32)),
             Accumulate(total, (j,), Local("v", float32))),
        Let("scale", constant(1.0, float32) / (Load(square, ()) + 1.0)),
        loop("j", width, Store(y, (i, j), Load(x, (i, j)) * scale)),
    )  # fmt: skip
    return Kernel("rows", (x, y, total), ("n",), (loop("i", extent, *body),))


@pytest.mark.parametrize("copies", [2, 4])
@pytest.mark.parametrize("lanes", ["serial", "vector"])
def test_jam_keeps_every_row_bit_by_bit(copies, lanes):
    plain = rows(N, 19)
    if lanes == "vector":
        (outer,) = plain.body
        inner = tuple(replace(s, mode="vector") if isinstance(s, For) else s for s in outer.body)
        plain = replace(plain, body=(replace(outer, body=inner),))
    jammed = replace(plain, body=jam(plain.body[0], copies))
    assert len(jammed.body) == 2 and jammed.body[0].step == copies
    runs = [Native(plain), Native(jammed)]
    for n in (0, 1, 3, 4, 5, 11):
        a = np.random.default_rng(n).standard_normal((n, 19), np.float32)
        found = [(np.zeros((n, 19), np.float32), np.zeros(19, np.float32)) for _ in range(4)]
        for run, (y, total) in zip(runs, found, strict=False):
            run(a, y, total, extents={"n": n})
        interpret(plain, (a, *found[2]), (n,))
        interpret(jammed, (a, *found[3]), (n,), lanes=4, reverse=True)
        np.testing.assert_array_equal(found[1][0], found[0][0])
        if lanes == "serial":
            np.testing.assert_array_equal(found[3][0], found[2][0])
        for y, total in found:
            np.testing.assert_allclose(y, a / (1 + (a.astype(float) ** 2).sum(1, keepdims=True)), rtol=1e-5)
            np.testing.assert_allclose(total, a.astype(float).sum(0), rtol=1e-5, atol=1e-6)


def test_jam_leaves_no_rest_where_none_is():
    (outer,) = rows(12, 5).body
    assert len(jam(outer, 4)) == 1 and len(jam(outer, 5)) == 2


def test_jam_refuses_what_depends_on_the_iteration_before():
    x = matrix("x", N)
    running = loop("i", N, Store(x, (i + 1,), Load(x, (i,)) + Load(x, (i + 1,))))
    triangle = loop("i", N, loop("j", i, Store(matrix("y", N, N), (i, j), Load(x, (j,)))))
    y = matrix("y", 1)
    twice = loop("i", N, *(Accumulate(y, (index(0),), Load(x, (i,)), r) for r in ("add", "multiply")))
    for refused in (running, triangle, twice):
        assert jam(refused, 2) == (refused,)
