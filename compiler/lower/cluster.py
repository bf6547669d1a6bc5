"""From a cluster to kernels: which writer takes it, and what memory the kernels run on."""

from __future__ import annotations

from compiler.clusters import Cluster, Form
from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, Index, Kernel, Load, Statement, Store
from compiler.lower.access import Buffers, Home
from compiler.lower.column_parts import column_kernels
from compiler.lower.nest import Group, shared
from compiler.lower.product import product_steps
from compiler.lower.rows import Rows, combine_parts, finish_row
from compiler.lower.scatter import scatter_body
from compiler.lower.step import Step
from symgraph.dimension import product
from symgraph.graph import Node


def lower_cluster(
    cluster: Cluster, home: Home, dims: tuple[str, ...], target: Target, few_rows: bool
) -> list[Step]:
    """The kernels of a cluster, in the order they run."""
    if cluster.form is Form.CONTRACTION:
        return product_steps(cluster, home, dims, target, few_rows)
    if cluster.form is Form.SCATTER:
        buffers = Buffers(home)
        return [_step(cluster, buffers, scatter_body(cluster, buffers), dims)]
    axes = cluster.swept
    if axes and len(cluster.domain) - 1 not in axes:
        kernels = column_kernels(cluster, home, axes)
        return [_step(cluster, buffers, body, dims) for buffers, body in kernels]
    rows = Rows(cluster, home, axes)
    steps = [_step(cluster, rows.buffers, rows.body(), dims)]
    if rows.cut:
        writer, body = finish_row(rows, home)
        steps.append(_step(cluster, writer.buffers, body, dims))
    elif rows.parts > 1:
        for reduction, partial in rows.partial.items():
            writer, body = combine_parts(reduction, partial, home)
            steps.append(_step(cluster, writer.buffers, body, dims))
    return steps


def copy_step(value: Node, state: Node, cluster: Cluster, dims: tuple[str, ...]) -> Step:
    """Put a value that was kept aside into the state it is the new value of."""
    size = product(value.type.shape)
    source, target = Buffer("b0", value.type.dtype, (size,)), Buffer("b1", value.type.dtype, (size,))
    group = Group((0,), size, Index("i.0"))
    body = (shared(group, (Store(target, (group.index,), Load(source, (group.index,))),), 1, vector=True),)
    return Step(Kernel("copy", (source, target), dims, body), (value, state), cluster)


def _step(cluster: Cluster, buffers: Buffers, body: tuple[Statement, ...], dims: tuple[str, ...]) -> Step:
    kernel = Kernel("kernel", tuple(buffers.buffers), dims, body)
    return Step(kernel, tuple(buffers.memories), cluster)
