"""Kernels and values that several tests of the code generator are made of."""


import numpy as np

from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Buffer,
    Expr,
    For,
    Index,
    Kernel,
    Load,
    Mode,
    Statement,
    Store,
    index,
)
from symgraph.dimension import Dim, Extent
from symgraph.types import float32

N, M = Dim.named("n"), Dim.named("m")
EXTENTS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 1000)
i, j = Index("i"), Index("j")
HOST = Target.host()
OLDER = [Target(HOST.triple, cpu) for cpu in ("x86-64-v3", "x86-64")] if HOST.is_x86 else []
TARGETS = [HOST, *OLDER]


def loop(
    name: str,
    stop: Expr | Extent,
    *body: Statement,
    mode: Mode = "vector",
    start: Expr | Extent = 0,
    step: int = 1,
) -> For:
    return For(name, index(start), index(stop), body, step, mode)


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
