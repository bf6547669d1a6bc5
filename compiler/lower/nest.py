"""The loops around a fused kernel: axes, merged axes, positions, and shares for threads.

Names of indices hold a dot, so that no named dimension, which is an identifier, is taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.clusters import Cluster, operands_of
from compiler.loop.grammar import Const, Expr, For, Index, Mode, Statement, binary, index
from compiler.lower.access import MERGED, ZERO, Merged
from compiler.views import AxisMap, is_scalar_constant, is_view
from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.op import Kind
from symgraph.types import int64

# Work below this many elements is not worth another thread.
SHARE = 32768
# Elements that are whole vectors of any target, and whole lines of a cache.
WHOLE = 64


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring axes of the domain walked by one loop."""

    axes: tuple[int, ...]
    extent: Extent
    index: Index


def group_axes(cluster: Cluster) -> tuple[Group, ...]:
    """Merge neighbouring axes that every value of the cluster, and all it reads, has side by side."""
    rank = len(cluster.domain)
    together = [_can_merge(cluster, i) for i in range(rank - 1)]
    groups: list[list[int]] = []
    for axis in range(rank):
        if axis and together[axis - 1]:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return tuple(
        Group(tuple(axes), product(cluster.domain[a] for a in axes), Index(f"i.{number}"))
        for number, axes in enumerate(groups)
    )


def _can_merge(cluster: Cluster, axis: int) -> bool:
    pair = {axis, axis + 1}
    for node in cluster.nodes:
        if node.op.kind is Kind.REDUCTION and len(pair & set(node.attrs["axes"])) == 1:
            return False
        if not _side_by_side(cluster.labels[node], axis):
            return False
        if node.op.kind in (Kind.GATHER, Kind.WINDOW) or _drawn_elsewhere(node):
            return False
        labels = cluster.everywhere if node.op.kind is Kind.REDUCTION else cluster.labels[node]
        for reading in operands_of(node):
            if reading.axes is None or is_view(reading.source):
                return False
            if is_scalar_constant(reading.source) or not reading.source.type.rank:
                continue
            if not _side_by_side(_seen(reading.axes, labels), axis):
                return False
    return True


def _drawn_elsewhere(node: Node) -> bool:
    """Random numbers in another order than they lie in memory: the position along each axis counts."""
    return node.op.kind is Kind.RANDOM and bool(node.attrs.get("order"))


def _seen(axes: AxisMap, labels: AxisMap) -> AxisMap:
    return tuple(None if a is None else labels[a] for a in axes)


def _side_by_side(labels: AxisMap, axis: int) -> bool:
    """Neither of axis, axis + 1, or both, the second right after the first."""
    if axis not in labels and axis + 1 not in labels:
        return True
    if axis not in labels or axis + 1 not in labels:
        return False
    return labels.index(axis + 1) == labels.index(axis) + 1


def domain_position(cluster: Cluster, groups: tuple[Group, ...]) -> list[Expr | Merged]:
    """The index along each axis of the domain; merged axes leave it to the last of their group."""
    position: list[Expr | Merged] = [MERGED] * len(cluster.domain)
    for group in groups:
        position[group.axes[-1]] = group.index
    return position


def node_position(labels: AxisMap, position: list[Expr | Merged]) -> list[Expr | Merged]:
    """A node's own position, from the domain's."""
    return [ZERO if label is None else position[label] for label in labels]


def loop(group: Group, body: tuple[Statement, ...], mode: Mode = "serial") -> For:
    return For(group.index.name, ZERO, index(group.extent), body, mode=mode)


def nested(groups: tuple[Group, ...], body: tuple[Statement, ...], vector: bool) -> tuple[Statement, ...]:
    """Loops over groups, the first outermost; the innermost along vector lanes if wanted."""
    for number, group in reversed(list(enumerate(groups))):
        lanes = vector and number == len(groups) - 1
        body = (loop(group, body, "vector" if lanes else "serial"),)
    return body


def shared(group: Group, body: tuple[Statement, ...], each: Extent, vector: bool) -> For:
    """A loop cut into equal shares that threads may take, each of about SHARE elements.

    `each` is how many elements one iteration handles. The cut does not depend on the number of threads.
    """
    grain = max(1, SHARE // each) if isinstance(each, int) and each else 1 if each != 0 else SHARE
    if vector:
        grain = -(-grain // WHOLE) * WHOLE
    share = Index("i.share")
    # Written alike whether the last share is whole or not: kernels that differ in sizes are one.
    start = binary("mul", share, Const(grain, int64))
    stop = binary("minimum", binary("add", start, Const(grain, int64)), index(group.extent))
    shares = binary("div", index(group.extent + (grain - 1)), Const(grain, int64))
    inner = For(group.index.name, start, stop, body, mode="vector" if vector else "serial")
    return For(share.name, ZERO, shares, (inner,), mode="parallel")


def share_of(extent: Extent, number: Expr, size: Expr) -> tuple[Expr, Expr]:
    """Where a share begins and ends; the last ones may be short, or empty."""
    start = binary("mul", number, size)
    end = binary("add", start, size)
    if isinstance(extent, int) and isinstance(size, Const) and extent % int(size.value) == 0:
        return start, end
    return binary("minimum", start, index(extent)), binary("minimum", end, index(extent))


def whole_lanes(size: Expr) -> Expr:
    """The size of a share, rounded up so that the next one begins where vectors are aligned."""
    shares = binary("div", binary("add", size, Const(WHOLE - 1, int64)), Const(WHOLE, int64))
    return binary("mul", shares, Const(WHOLE, int64))
