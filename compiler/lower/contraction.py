"""Contractions C[b..., m, n] = sum over k of left(b..., m, k) * right(b..., k, n), as kernels.

Operands are functions from indices to expressions, so transposes, broadcasts, windows and fused producers
cost nothing but their address; the epilogue is statements on each result while it is near the registers.

    tiles   rows x columns results in registers, panels of `right` packed (contraction_tile)
    dots    one result after another, vectors along k (contraction_dot): few rows, both contiguous in k
"""

from __future__ import annotations

from typing import Literal

from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer
from compiler.lower.contraction_blocks import choose_blocks
from compiler.lower.contraction_problem import Contraction, Epilogue, KernelStep, Operand
from compiler.lower.contraction_tile import Tiles, packs_left
from symgraph.dimension import Extent, Shape
from symgraph.types import DType

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
    buffers: tuple[Buffer, ...],
    extents: tuple[str, ...],
    dtype: DType,
    target: Target,
) -> tuple[KernelStep, ...]:
    """The kernels of a contraction, in the order they run. See Contraction for the arguments.

    Correct at every extent, zero included: an empty k gives zeros to the epilogue.
    """
    problem = Contraction(
        name=name, batch=batch, m=m, n=n, k=k, left=left, right=right, left_unit=left_unit,
        right_unit=right_unit, epilogue=epilogue, buffers=buffers, extents=extents, dtype=dtype, target=target,
    )
    blocks = choose_blocks(m, n, k, dtype, target, packs_left(problem))
    return Tiles(problem, blocks).steps()
