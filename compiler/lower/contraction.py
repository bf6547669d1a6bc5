"""Contractions C[b..., m, n] = sum over k of left(b..., m, k) * right(b..., k, n), as kernels.

Operands are functions from indices to expressions, so transposes, broadcasts, windows and fused producers
cost nothing but their address; the epilogue is statements on each result while it is near the registers.

    tiles   rows x columns results in registers, panels of `right` packed (contraction_tile)
    dots    vectors along k, for few rows or one column where both operands are contiguous in k
    stream  one row of results, the right operand contiguous in n (both in contraction_dot)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, extent_expr
from compiler.lower.contraction_blocks import choose_blocks, few_row_blocks, size
from compiler.lower.contraction_dot import dots, stream
from compiler.lower.contraction_problem import Contraction, Epilogue, KernelStep, Operand, only_if
from compiler.lower.contraction_tile import Tiles, packs_left
from symgraph.dimension import Extent, Shape
from symgraph.types import DType

FEW_ROWS = 8  # rows up to which a transposed right operand is not worth packing
FEW_RESULTS = 256
LEAST_OF_FEW = 64 * 64  # elements of a right operand for which a handful of rows get kernels of their own
STREAM_LEAST = 64  # columns of a single row that are worth streaming

__all__ = ["Contraction", "Epilogue", "KernelStep", "Operand", "contraction"]


def contraction(
    name: str,
    *,
    batch: Shape,
    m: Extent,
    n: Extent,
    k: Extent,
    left: Operand,
    right: Operand,
    left_unit: Literal["m", "k", None],
    right_unit: Literal["k", "n", None],
    epilogue: Epilogue,
    buffers: Sequence[Buffer],
    extents: tuple[str, ...],
    dtype: DType,
    target: Target,
    few_rows: bool = False,
    right_known: bool = False,
) -> tuple[KernelStep, ...]:
    """The kernels of a contraction, in the order they run. See Contraction for the arguments.

    Correct at every extent, zero included: an empty k gives zeros to the epilogue. `few_rows`: where m is
    named, add kernels that take over while m is small, as when a model is asked for one answer at a time.
    """
    problem = Contraction(
        name=name, batch=batch, m=m, n=n, k=k, left=left, right=right, left_unit=left_unit,
        right_unit=right_unit, epilogue=epilogue, buffers=buffers, extents=extents, dtype=dtype,
        target=target, right_known=right_known,
    )
    if n == 1 and m != 1 and left_unit == "m":
        problem = transposed(problem)
    few = _few(replace(problem, name=name + "_few")) if few_rows and not isinstance(problem.m, int) else ()
    many = _steps(problem)
    if not few:
        return many
    rows = extent_expr(problem.m)
    return (*(only_if(rows <= FEW_ROWS, s) for s in few), *(only_if(rows > FEW_ROWS, s) for s in many))


def _few(problem: Contraction) -> tuple[KernelStep, ...]:
    """Kernels for a handful of rows, which read a large right operand once; none where it must be packed."""
    if size(problem.k) * size(problem.n) < LEAST_OF_FEW:
        return ()
    if problem.right_unit == "k" and not problem.right_known:
        return _along_k(problem, row_by_row=True)
    tiles = Tiles(problem, few_row_blocks(problem))
    return tiles.steps() if problem.right_known or not tiles.prepack else ()


def _steps(problem: Contraction) -> tuple[KernelStep, ...]:
    few = size(problem.m) <= FEW_ROWS or size(problem.m) * size(problem.n) <= FEW_RESULTS
    if few or problem.n == 1:
        steps = _along_k(problem)
        if steps:
            return steps
    if problem.m == 1 and problem.right_unit == "n" and size(problem.n) > STREAM_LEAST:
        return stream(problem)
    return Tiles(problem, choose_blocks(problem, packs_left(problem))).steps()


def _along_k(problem: Contraction, row_by_row: bool = False) -> tuple[KernelStep, ...]:
    """Dot products where both operands are contiguous in k, else nothing."""
    fits = problem.left_unit == "k" and (problem.right_unit == "k" or problem.n == 1)
    return dots(problem, row_by_row) if fits else ()


def transposed(problem: Contraction) -> Contraction:
    """The same results with m and n exchanged: (A B)^T = B^T A^T."""
    return replace(
        problem, m=problem.n, n=problem.m,
        left=lambda b, m, k: problem.right(b, k, m), right=lambda b, k, n: problem.left(b, n, k),
        left_unit="k" if problem.right_unit == "k" or problem.n == 1 else "m",
        right_unit="n" if problem.left_unit == "m" else "k",
        epilogue=lambda b, m, n, value: problem.epilogue(b, n, m, value), right_known=False,
    )
