"""scatter_add: zeros, then every element added where its index says. Serial along the indexed axes."""

from __future__ import annotations

from compiler.clusters import Cluster
from compiler.loop.grammar import Accumulate, Index, Statement, Store, constant
from compiler.lower.access import Access, Buffers, place
from compiler.lower.fused import index64
from compiler.lower.nest import Group, loop, nested
from symgraph.dimension import product


def scatter_body(cluster: Cluster, buffers: Buffers) -> tuple[Statement, ...]:
    """The kernel's statements; its buffers are collected in `buffers`."""
    node = cluster.root
    values, indices = node.inputs
    access = Access(buffers, lambda node, position: None)
    groups = tuple(Group((i,), extent, Index(f"i.{i}")) for i, extent in enumerate(cluster.domain))
    axis = node.attrs["axis"]
    end = axis + indices.type.rank
    at = [g.index for g in groups]
    target = access.read(indices, at[axis:end])
    buffer, where = place(buffers, node, [*at[:axis], index64(target), *at[end:]])
    flat = buffers.of(node, (product(node.type.shape),))
    zero = loop(
        Group((0,), flat.shape[0], Index("i.zero")),
        (Store(flat, (Index("i.zero"),), constant(0, node.type.dtype)),),
        "vector",
    )
    # Lanes along the last axis are independent unless that axis is an indexed one.
    add = nested(groups, (Accumulate(buffer, where, access.read(values, at)),), vector=end < len(groups))
    return (zero, *add)
