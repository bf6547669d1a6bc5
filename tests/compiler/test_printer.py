"""The canonical text: golden kernels, minimal parentheses, one text for equal kernels, linear size."""

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
from compiler.loop.printer import text
from symgraph.dimension import Dim
from symgraph.types import bool_, float32, float64, int32, int64

BATCH = Dim.named("batch")
X = Buffer("x", float32, (BATCH, 64))
Y = Buffer("y", float32, (BATCH, 64))
i, j = Index("i"), Index("j")
a, b, c = Local("a", float32), Local("b", float32), Local("c", float32)
n, m = Local("n", int64), Local("m", int64)


def of(value: Expr) -> str:
    """How an expression prints in a Let."""
    (line,) = text(Kernel("k", (), (), (Let("r", value),))).splitlines()[1:]
    return line.removeprefix("  let r = ")


def test_golden_kernel():
    row = Buffer("row", float32, (64,))
    body = (
        Alloc(row),
        For("j", Const(0, int64), Const(64, int64), mode="vector", body=(
            Store(row, (j,), call("exp", Load(X, (i, j)) - 1.0)),
        )),
        For("j", Const(0, int64), Const(64, int64), step=2, mode="unroll", body=(
            If(i < 3, (Accumulate(Y, (i, j), Load(row, (j,)) * 0.5),)),
            Let("w", Load(row, (j + 1,))),
            Accumulate(Y, (i, j + 1), Local("w", float32), "maximum"),
        )),
        Store(Y, (i, Const(0, int64)), constant(0.0, float32), streaming=True),
    )  # fmt: skip
    loop = For("i", Const(0, int64), Index("batch") - 1, body, mode="parallel")
    assert text(Kernel("sample", (X, Y), ("batch",), (loop,))) == """\
kernel sample(x: f32[batch, 64], y: f32[batch, 64]; batch):
  for i in 0..(batch - 1) parallel:
    alloc row: f32[64]
    for j in 0..64 vector:
      row[j] = exp(x[i, j] - 1.0)
    for j in 0..64 step 2 unroll:
      if i < 3:
        y[i, j] += row[j] * 0.5
      let w = row[j + 1]
      y[i, j + 1] maximum= w
    y[i, 0] = 0.0 streaming
"""


@pytest.mark.parametrize(("expr", "printed"), [
    (a + b * c, "a + b * c"),
    ((a + b) * c, "(a + b) * c"),
    (a - b - c, "a - b - c"),
    (a - (b - c), "a - (b - c)"),
    (a + (b + c), "a + (b + c)"),
    (a / (b * c), "a / (b * c)"),
    (-(a + b), "-(a + b)"),
    (-a * b, "-a * b"),
    (Unary("neg", -a), "-(-a)"),
    (-constant(2.0, float32), "-(2.0)"),
    (constant(-2.0, float32), "-2.0"),
    (a - constant(-0.0, float32), "a - -0.0"),
    (n // m % 2, "n // m % 2"),
    ((n & 1) << 2 | m, "(n & 1) << 2 | m"),
    (~(a < b) & (b <= c), "~(a < b) & (b <= c)"),
    (binary("eq", a < b, b < c), "(a < b) == (b < c)"),
    (binary("maximum", a, b + 1.0), "maximum(a, b + 1.0)"),
    (select(a < 0.0, -a, a), "select(a < 0.0, -a, a)"),
    (Unary("bits_as_float", Unary("bits_as_int", a) >> 1), "bits_as_float(bits_as_int(a) >> 1i32)"),
    (Cast(n, float64) * 0.1, "f64(n) * 0.1f64"),
    (constant(0.1, float32), "0.1"),
    (constant(float("inf"), float32), "inf"),
    (constant(-float("inf"), float64), "-inff64"),
    (constant(float("nan"), float32), "nan"),
    (constant(True, bool_), "true"),
    (constant(7, int32), "7i32"),
])  # fmt: skip
def test_expressions(expr, printed):
    assert of(expr) == printed


def test_different_kernels_have_different_text():
    values = [
        constant(1.0, float32), constant(1.0, float64), constant(1, int32), constant(1, int64),
        constant(True, bool_), constant(0.0, float32), constant(-0.0, float32), -constant(1.0, float32),
        constant(-1.0, float32), Cast(a, float64), Cast(a, int32), a - (b - c), a - b - c, i,
        Local("i", int64),
    ]  # fmt: skip
    loops = [For("i", Const(0, int64), Const(2, int64), (Let("r", value),)) for value in values]
    texts = [text(Kernel("k", (), (), (loop,))) for loop in loops]
    texts += [text(Kernel("k", (), (), (For("i", i, i, (), step, mode),)))
              for step in (1, 2) for mode in ("serial", "vector", "parallel", "unroll")]  # fmt: skip
    assert len(set(texts)) == len(texts)


def test_equal_kernels_have_equal_text_however_they_are_shared():
    def value(shared: bool) -> Expr:
        first = call("exp", Load(X, (i, j)) * 3.0 + Load(Y, (i, j)))
        second = first if shared else call("exp", Load(X, (i, j)) * 3.0 + Load(Y, (i, j)))
        return first / (1.0 + second)

    def kernel(shared: bool) -> Kernel:
        return Kernel("k", (X, Y), ("batch",), (Store(Y, (i, j), value(shared)),))

    assert text(kernel(True)) == text(kernel(False))
    assert text(kernel(True)).splitlines()[1:] == [
        "  $0 = exp(x[i, j] * 3.0 + y[i, j])",
        "  y[i, j] = $0 / (1.0 + $0)",
    ]


def test_text_is_linear_in_shared_expressions_and_flat_in_deep_ones():
    doubled, chain = Load(X, (i, j)), Load(X, (i, j))
    for _ in range(200):
        doubled = Binary("mul", doubled, doubled)
    for _ in range(5_000):
        chain = Binary("add", Load(Y, (i, j)), chain)
    for value, limit in ((doubled, 20_000), (chain, 200_000)):
        printed = text(Kernel("k", (X, Y), ("batch",), (Store(Y, (i, j), value),)))
        assert len(printed) < limit
        assert max(map(len, printed.splitlines())) < 300


def test_printed_expressions_mean_what_they_are():
    """Python reads the text of random integer expressions with the same result, modulo 2^64."""
    rng = np.random.default_rng(7)
    for _ in range(60):
        pool: list[Expr] = [n, m, constant(3, int64), constant(-5, int64)]
        for _ in range(25):
            x, y = (pool[k] for k in rng.integers(0, len(pool), 2))
            op = ("add", "sub", "mul", "and", "or", "xor", "neg", "not")[rng.integers(0, 8)]
            pool.append(Unary(op, x) if op in ("neg", "not") else Binary(op, x, y))
        out = Buffer("out", int64, ())
        lets = (Let("n", constant(1234567, int64)), Let("m", constant(-98765, int64)))
        kernel = Kernel("k", (out,), (), (*lets, Store(out, (), pool[-1])))
        result = np.zeros((), np.int64)
        interpret(kernel, [result], [])
        lines = [line.strip() for line in text(kernel).replace("$", "part").splitlines()[3:]]
        names: dict[str, int] = {"n": 1234567, "m": -98765}
        for line in lines:
            name, _, value = line.partition(" = ")
            names[name] = eval(value, {}, names)
        assert (names["out[]"] - int(result)) % 2**64 == 0
