"""A contraction cluster: a matrix product, what its operands are read through, and its epilogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from compiler.clusters import Cluster
from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, Expr, Let, Local, Statement
from compiler.lower.access import Access, Arranged, Home, Memory, Scratch
from compiler.lower.contraction import KernelStep, contraction
from compiler.lower.contraction_problem import Indices
from compiler.lower.convolution_product import convolution_steps, weight_steps
from compiler.lower.fused import Fused
from compiler.lower.step import Step
from compiler.views import constant_behind, follow, shown
from symgraph.graph import Node
from symgraph.ops.convolution import CONVOLUTION, CONVOLUTION_WEIGHT
from symgraph.ops.linear import MATMUL

LEFT_UNIT: dict[int | None, Literal["m", "k"] | None] = {-2: "m", -1: "k", None: None}
RIGHT_UNIT: dict[int | None, Literal["k", "n"] | None] = {-2: "k", -1: "n", None: None}


def product_steps(
    cluster: Cluster, home: Home, dims: tuple[str, ...], target: Target, few_rows: bool
) -> list[Step]:
    """Kernels of the contraction: packing, if any, and the contraction with everything fused into it.

    `few_rows`: with kernels of their own for a handful of rows, where their number is named.
    """
    writer = Product(cluster, home)
    if cluster.root.op is MATMUL:
        made = _matrix_product(cluster.root, writer, dims, target, few_rows)
    else:
        steps = {CONVOLUTION: convolution_steps, CONVOLUTION_WEIGHT: weight_steps}[cluster.root.op]
        made = steps(cluster.root, writer.outside, writer.epilogue, writer.buffers.buffers, dims, target)
    return _steps(cluster, writer, made)


def _matrix_product(
    root: Node, writer: Product, dims: tuple[str, ...], target: Target, few_rows: bool
) -> tuple[KernelStep, ...]:
    left, right = root.inputs
    *batch, m, n = root.type.shape
    return contraction(
        "kernel",
        batch=tuple(batch),
        m=m,
        n=n,
        k=left.type.shape[-1],
        left=lambda b, i, k: writer.outside.read(left, [*b, i, k]),
        right=lambda b, k, j: writer.outside.read(right, [*b, k, j]),
        left_unit=LEFT_UNIT[_contiguous_axis(left)],
        right_unit=RIGHT_UNIT[_contiguous_axis(right)],
        epilogue=writer.epilogue,
        buffers=writer.buffers.buffers,
        extents=dims,
        dtype=root.type.dtype,
        target=target,
        few_rows=few_rows,
        right_known=len(batch) == 0 and constant_behind(right) is not None,
    )


class Product(Fused):
    """Writes the epilogue; operands are always read from memory."""

    def __init__(self, cluster: Cluster, home: Home):
        super().__init__(cluster, home)
        self.outside = Access(self.buffers, lambda node, position: None)

    def epilogue(self, batch: Indices, m: Expr, n: Expr, value: Expr) -> tuple[Statement, ...]:
        """Everything of the cluster at one element of the product, whose value is given."""
        outer, self.known = self.known, {}
        at: list[Expr] = [*batch, m, n]
        self.position = list(at)
        statements: list[Statement] = []
        stores: list[Statement] = []  # last: one may overwrite the state that a later formula reads
        for node in self.cluster.nodes:
            if node is self.cluster.root:
                if not isinstance(value, Local):
                    local = Local(self.fresh("v"), value.dtype)
                    statements.append(Let(local.name, value))
                    value = local
                self.known[node] = value
            else:
                self.bind(node, statements)
            if node in self.cluster.stored:
                stores.append(self.store(node, self.known[node]))
        self.known = outer
        return (*statements, *stores)


def _contiguous_axis(operand: Node) -> int | None:
    """Which of an operand's last two axes, -2 or -1, walks memory one by one."""
    reading = follow(operand)
    if not reading.axes:
        return None
    axis = reading.axes[-1]
    place = None if axis is None else axis - operand.type.rank
    return place if place in (-2, -1) else None


def _steps(cluster: Cluster, writer: Product, made: tuple[KernelStep, ...]) -> list[Step]:
    memory: dict[str, Memory] = dict(
        zip((b.name for b in writer.buffers.buffers), writer.buffers.memories, strict=True)
    )
    steps = []
    for step in made:
        if step.packed is not None:
            (buffer,) = step.scratch
            memory.setdefault(buffer.name, _packed(cluster.root, buffer, step.packed))
        for buffer in step.scratch:
            memory.setdefault(buffer.name, Scratch(buffer.shape, buffer.dtype))
        steps.append(Step(step.kernel, tuple(memory[b.name] for b in step.kernel.buffers), cluster))
    return steps


def _packed(root: Node, buffer: Buffer, pack: Callable[[np.ndarray], np.ndarray]) -> Arranged:
    """The right operand of the root, a constant, as its kernels read it."""
    right = root.inputs[1]
    source = constant_behind(right)
    assert source is not None, "only a known operand is packed ahead"
    return Arranged(buffer.shape, buffer.dtype, source, lambda array: pack(shown(right, array)))
