"""Seeing through layout: what passes that look for a formula share."""

from __future__ import annotations

from compiler.views import follow
from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.ops import arithmetic
from symgraph.ops.layout import BROADCAST, RESHAPE
from symgraph.ops.reduce import EXTENT, sum_
from symgraph.symbol import CONSTANT


def spread_over(node: Node, axes: tuple[int, ...], rank: int) -> Node | None:
    """The statistic behind a value that is constant along `axes`, its own axes being all others in order."""
    reading = follow(node)
    if reading.axes is None:
        return None
    kept = tuple(i for i in range(rank) if i not in axes)
    found = tuple(axis for axis in reading.axes if axis is not None)
    statistic = reading.source
    extents = [e for e in statistic.type.shape if e != 1]
    wanted = [node.type.shape[i] for i in kept if node.type.shape[i] != 1]
    in_order = found == tuple(i for i in kept if i in found)
    return statistic if in_order and extents == wanted else None


def number_of(node: Node) -> float | None:
    """The one number that a node is everywhere, if it is a constant."""
    while node.op in (BROADCAST, RESHAPE):
        node = node.inputs[0]
    if node.op is CONSTANT and node.attrs["value"].size == 1:
        return float(node.attrs["value"].item())
    return None


def is_count(node: Node, extent: Extent) -> bool:
    """Whether a node is the number of elements `extent`."""
    while node.op in (BROADCAST, RESHAPE):
        node = node.inputs[0]
    if node.op is EXTENT:
        return node.attrs["extent"] == extent
    return isinstance(extent, int) and number_of(node) == extent


def mean_of(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) if the node is the mean of x over axes: sum / count, or sum * (1 / count)."""
    node = _without_ones(node)
    if node.op not in (arithmetic.divide.op, arithmetic.multiply.op):
        return None
    total, count = (_without_ones(i) for i in node.inputs)
    if total.op is not sum_.op:
        return None
    x, axes = total.inputs[0], total.attrs["axes"]
    size = product(x.type.shape[i] for i in axes)
    if node.op is arithmetic.divide.op:
        return (x, axes) if is_count(count, size) else None
    factor = number_of(count)
    return (x, axes) if isinstance(size, int) and size and factor == 1.0 / size else None


def _without_ones(node: Node) -> Node:
    """Past reshapes that only add or remove axes of size 1."""
    while node.op is RESHAPE and _bare(node) == _bare(node.inputs[0]):
        node = node.inputs[0]
    return node


def _bare(node: Node) -> list[Extent]:
    return [e for e in node.type.shape if e != 1]


def square_of(node: Node) -> Node | None:
    """x if the node is x squared, however written: the two factors may be written twice."""
    if node.op is arithmetic.square.op:
        return node.inputs[0]
    if node.op is not arithmetic.multiply.op:
        return None
    x, y = node.inputs
    twice = x is y or (centered_of(x) is not None and centered_of(x) == centered_of(y))
    return x if twice else None


def centered_of(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) if the node is x minus its mean over axes."""
    if node.op is not arithmetic.subtract.op:
        return None
    x, average = node.inputs
    candidate = follow(average).source
    found = mean_of(candidate)
    if found is None or found[0] is not x:
        return None
    axes = found[1]
    spread = spread_over(average, axes, x.type.rank)
    return (x, axes) if spread is not None and mean_of(spread) == found else None


def variance_of(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) if the node is the biased variance of x over axes."""
    outer = mean_of(node)
    if outer is None:
        return None
    inner = square_of(outer[0])
    centered = centered_of(inner) if inner is not None else None
    return centered if centered is not None and centered[1] == outer[1] else None
