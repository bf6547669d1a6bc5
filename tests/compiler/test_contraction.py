"""Contractions against float64 einsum: every layout, batch, dtype, cut of k, and extents at every edge."""

from collections.abc import Mapping

import numpy as np
import pytest
from kernel_runner import Native

from compiler.llvm.target import Target
from compiler.loop.grammar import Accumulate, Buffer, Expr, For, Load, Store, select
from compiler.loop.walk import statements
from compiler.lower.contraction import contraction
from symgraph.dimension import Dim, Extent, evaluate, names_of
from symgraph.types import DType, float32, float64, int32, int64

HOST = Target.host()
NARROW = Target(HOST.triple, "x86-64-v3") if HOST.is_x86 else HOST


def extent(value: int | str) -> Extent:
    return Dim.named(value) if isinstance(value, str) else value


class Product:
    """A compiled C = A @ B (with A or B stored transposed), callable at any size of its named dimensions."""

    def __init__(
        self, m, n, k, *, layout="nn", dtype: DType = float32, batch=(), shared_right=False, target=HOST,
        extra=(), few_rows=False, right_known=False,
    ) -> None:
        self.m, self.n, self.k, self.layout = extent(m), extent(n), extent(k), layout
        self.batch = tuple(extent(b) for b in batch)
        left, right = (self.m, self.k), (self.k, self.n)
        self.a = Buffer("a", dtype, self.batch + (left if layout[0] == "n" else left[::-1]))
        right_batch = () if shared_right else self.batch
        self.b = Buffer("b", dtype, right_batch + (right if layout[1] == "n" else right[::-1]))
        self.c = Buffer("c", dtype, (*self.batch, self.m, self.n))
        self.shared_right = shared_right
        self.names = names_of((*self.batch, self.m, self.n, self.k))
        self.steps = contraction(
            "product", batch=self.batch, m=self.m, n=self.n, k=self.k, left=self.left, right=self.right,
            left_unit="k" if layout[0] == "n" else "m", right_unit="n" if layout[1] == "n" else "k",
            epilogue=self.epilogue, buffers=(self.a, self.b, *extra, self.c), extents=self.names, dtype=dtype,
            target=target, few_rows=few_rows, right_known=right_known,
        )
        self.native = [Native(step.kernel, target) for step in self.steps]

    def left(self, b, m, k) -> Expr:
        return Load(self.a, (*b, m, k) if self.layout[0] == "n" else (*b, k, m))

    def right(self, b, k, n) -> Expr:
        b = () if self.shared_right else b
        return Load(self.b, (*b, k, n) if self.layout[1] == "n" else (*b, n, k))

    def epilogue(self, b, m, n, value):
        return (Store(self.c, (*b, m, n), value),)

    def shape(self, buffer: Buffer, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(evaluate(e, sizes) for e in buffer.shape)

    def __call__(self, sizes: Mapping[str, int], one_by_one: bool = False, **arrays: np.ndarray) -> None:
        for step, native in zip(self.steps, self.native, strict=True):
            if step.packed is not None:
                right = arrays["b"] if self.layout[1] == "n" else arrays["b"].T
                arrays.setdefault(step.scratch[0].name, step.packed(right))
            for scratch in step.scratch:
                # Garbage in scratch must not reach results.
                arrays.setdefault(scratch.name, np.full(self.shape(scratch, sizes), 77, scratch.dtype))
            chosen = [arrays[buffer.name] for buffer in native.kernel.buffers]
            extents = {name: sizes[name] for name in native.kernel.extents}
            native(*chosen, extents=extents, one_by_one=one_by_one)

    def check(self, sizes: Mapping[str, int], seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        a, b = (self.random(generator, self.shape(x, sizes), x.dtype) for x in (self.a, self.b))
        guard = 64
        memory = np.full(int(np.prod(self.shape(self.c, sizes))) + guard, 5, self.c.dtype)
        c = memory[: memory.size - guard].reshape(self.shape(self.c, sizes))
        self(sizes, a=a, b=b, c=c)
        self.compare(c, a, b)
        assert (memory[memory.size - guard:] == 5).all(), "wrote behind the result"

    @staticmethod
    def random(generator, shape, dtype):
        if dtype in (int32, int64):
            return generator.integers(-9, 9, shape).astype(dtype)
        return generator.standard_normal(shape).astype(dtype)

    def compare(self, c, a, b) -> None:
        wide = np.int64 if self.c.dtype in (int32, int64) else np.float64
        left = a.astype(wide) if self.layout[0] == "n" else a.astype(wide).swapaxes(-1, -2)
        right = b.astype(wide) if self.layout[1] == "n" else b.astype(wide).swapaxes(-1, -2)
        wanted = left @ right
        if wide is np.int64:
            np.testing.assert_array_equal(c, wanted)
            return
        # Error bound of a sum of k products in any order.
        scale = np.abs(left) @ np.abs(right)
        unit = np.finfo(self.c.dtype).eps
        assert (np.abs(c - wanted) <= unit * (8 + np.sqrt(max(1, left.shape[-1]))) * scale).all()


EDGES = [
    (1, 1, 1), (2, 3, 5), (7, 8, 9), (8, 16, 17), (9, 31, 32), (13, 33, 1), (17, 65, 33), (33, 77, 129),
    (0, 4, 4), (4, 0, 4), (4, 4, 0), (40, 15, 64), (100, 130, 20), (1, 300, 70), (300, 1, 70), (129, 10, 257),
]


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("dtype", [float32, float64, int32])
def test_named_extents_of_every_size(layout, dtype):
    product = Product("m", "n", "k", layout=layout, dtype=dtype)
    for m, n, k in EDGES:
        product.check({"m": m, "n": n, "k": k})


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("shape", EDGES)
def test_static_extents(shape, layout):
    Product(*shape, layout=layout).check({})


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
def test_narrow_vectors(layout):
    product = Product("m", 37, "k", layout=layout, target=NARROW)
    for m, k in ((1, 3), (6, 8), (31, 65), (200, 100)):
        product.check({"m": m, "k": k})


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("dtype", [float32, float64])
def test_k_in_several_blocks(layout, dtype):
    Product(20, 50, 2500, layout=layout, dtype=dtype).check({})
    product = Product("m", 40, "k", layout=layout, dtype=dtype)
    for k in (511, 512, 513, 1024, 2500):
        product.check({"m": 150, "k": k})


FEW = [(1, "n", "nn"), (1, "n", "nt"), (3, "n", "nt"), (10, 10, "nt"), ("m", 1, "nn"), ("m", 1, "tn")]


@pytest.mark.parametrize("m,n,layout", FEW)
@pytest.mark.parametrize("dtype", [float32, float64, int64])
def test_few_rows_or_columns(m, n, layout, dtype):
    product = Product(m, n, "k", layout=layout, dtype=dtype, batch=(2,))
    for size, k in ((0, 3), (1, 0), (1, 1), (5, 17), (33, 64), (300, 31), (2100, 9), (4, 700)):
        product.check({"m": size, "n": size, "k": k})


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("k", [70, "k"])
def test_few_rows_at_run_time(layout, k):
    product = Product("m", 90, k, layout=layout, few_rows=True)
    for m in (0, 1, 3, 4, 5, 8, 9, 40):
        for depth in (70,) if k == 70 else (0, 70, 600):
            product.check({"m": m, "k": depth})


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize("n", [10, 64, 90])
def test_a_known_right_operand_is_packed_ahead(layout, n):
    product = Product("m", n, 70, layout=layout, few_rows=True, right_known=True)
    assert all(step.packed is not None for step in product.steps if step.scratch)
    assert not any(step.kernel.name.endswith("_pack") for step in product.steps)
    for m in (0, 1, 7, 8, 9, 40):
        product.check({"m": m})


def test_deep_transposed_left_operand_is_packed():
    Product("m", 300, "k", layout="tn").check({"m": 77, "k": 600})
    Product(140, 270, 1100, layout="tn").check({})


def test_many_tasks():
    product = Product("m", "n", 300)
    product.check({"m": 400, "n": 700})


@pytest.mark.parametrize("layout", ["nn", "nt"])
@pytest.mark.parametrize("shared_right", [False, True])
def test_batches(layout, shared_right):
    product = Product("m", 21, 33, layout=layout, batch=("heads", 3), shared_right=shared_right)
    for heads, m in ((0, 4), (1, 1), (2, 19), (5, 8)):
        product.check({"heads": heads, "m": m})


def test_int64_wraps_like_numpy():
    product = Product(9, 20, 30, dtype=int64)
    a, b = (np.full(shape, 2**40 + 1, np.int64) for shape in ((9, 30), (30, 20)))
    c = np.zeros((9, 20), np.int64)
    product({}, a=a, b=b, c=c)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(c, a @ b)


def test_not_a_number_and_infinity_stay_in_their_row_and_column():
    product = Product("m", 19, 40)
    generator = np.random.default_rng(1)
    a, b = generator.random((21, 40), np.float32), generator.random((40, 19), np.float32)
    a[3, 5], b[7, 11] = np.nan, np.inf
    c = np.zeros((21, 19), np.float32)
    product({"m": 21}, a=a, b=b, c=c)
    np.testing.assert_array_equal(np.isnan(c), np.isnan(a @ b))
    np.testing.assert_array_equal(np.isinf(c), np.isinf(a @ b))


class Fused(Product):
    """relu(A @ B + bias) and, beside it, the sum over all m of it by column."""

    def __init__(self, m, n, k):
        self.bias = Buffer("bias", float32, (extent(n),))
        self.doubled = Buffer("doubled", float32, (extent(m), extent(n)))
        super().__init__(m, n, k, extra=(self.bias, self.doubled))

    def epilogue(self, b, m, n, value):
        total = value + Load(self.bias, (n,))
        active = select(total > 0.0, total, 0.0)
        return (Store(self.c, (m, n), active), Accumulate(self.doubled, (m, n), active * 2.0))


@pytest.mark.parametrize("k", [30, "k"])
def test_epilogue_with_bias_activation_and_two_results(k):
    product, generator = Fused("m", 45, k), np.random.default_rng(2)
    for depth in (30,) if k == 30 else (0, 30, 1500):
        a, b = generator.standard_normal((23, depth)), generator.standard_normal((depth, 45))
        bias, c, doubled = generator.standard_normal(45), np.zeros((23, 45), "f"), np.ones((23, 45), "f")
        arrays = {name: x.astype("f") for name, x in {"a": a, "b": b, "bias": bias}.items()}
        product({"m": 23, "k": depth}, **arrays, c=c, doubled=doubled)
        wanted = np.maximum(a @ b + bias, 0)
        np.testing.assert_allclose(c, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(doubled, 1 + 2 * c, rtol=1e-6)


class Squared(Product):
    """(A * A) @ (B + 1): operands that are computed, and so are packed once."""

    def left(self, b, m, k):
        return super().left(b, m, k) * super().left(b, m, k)

    def right(self, b, k, n):
        return super().right(b, k, n) + 1.0

    def compare(self, c, a, b):
        super().compare(c, (a.astype(np.float64) ** 2), b.astype(np.float64) + 1)


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
def test_fused_producers(layout):
    Squared(70, 50, 90, layout=layout).check({})
    product = Squared("m", "n", "k", layout=layout)
    for m, n, k in EDGES[:12]:
        product.check({"m": m, "n": n, "k": k})
    product.check({"m": 70, "n": 300, "k": 1100})


def test_kernels_are_deterministic_and_only_the_outermost_loop_is_parallel():
    first, again = Product("m", 64, "k"), Product("m", 64, "k")
    assert [s.kernel for s in first.steps] == [s.kernel for s in again.steps]
    for step in first.steps:
        modes = [s.mode for s in statements(step.kernel.body) if isinstance(s, For)]
        assert modes[0] == "parallel" and "parallel" not in modes[1:]


def test_results_do_not_depend_on_how_tasks_are_split():
    product = Product(300, 200, 100)
    assert product.native[-1].tasks() > 1
    generator = np.random.default_rng(3)
    a, b = generator.random((300, 100), np.float32), generator.random((100, 200), np.float32)
    whole, pieces = np.zeros((300, 200), np.float32), np.zeros((300, 200), np.float32)
    product({}, a=a, b=b, c=whole)
    product({}, one_by_one=True, a=a, b=b, c=pieces)
    np.testing.assert_array_equal(whole, pieces)
