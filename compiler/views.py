"""Views: layout ops are never computed, they only say where an element is read from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST, PERMUTE, RESHAPE, SLICE
from symgraph.ops.reduce import EXTENT
from symgraph.symbol import CONSTANT

# For each axis of the source: the reader's axis that indexes it, or None where its index is always 0.
AxisMap = tuple[int | None, ...]

FIRST = (0, 1, 1)  # bounds of a slice that keep an axis's first element


def is_view(node: Node) -> bool:
    return node.op.kind is Kind.LAYOUT


def is_scalar_constant(node: Node) -> bool:
    return node.op is CONSTANT and node.attrs["value"].size == 1


class Reading(NamedTuple):
    """An operand followed through its views to `source`.

    `axes` tells which of the reader's axes index the source; None where a view on the way does more
    than drop, repeat or reorder axes or take the first of one (then only memory can be read).
    """

    source: Node
    axes: AxisMap | None


def follow(operand: Node) -> Reading:
    """The node behind an operand's views. Stops at pad and concat, and at sources without inputs."""
    node = operand
    axes: AxisMap | None = tuple(range(operand.type.rank))
    while is_view(node) and len(node.inputs) == 1:
        axes = _through(node, axes)
        node = node.inputs[0]
    return Reading(node, axes)


class Rows(NamedTuple):
    """Memory in which the rows of a value lie one after another, the first behind `offset` elements."""

    source: Node
    offset: Extent


def rows_of(operand: Node) -> Rows | None:
    """Where the rows of an operand lie, if its views are slices along the first axis and reshapes."""
    node, offset = operand, 0
    while is_view(node):
        if node.op is SLICE:
            (start, _, step), *others = node.attrs["bounds"]
            shape = node.inputs[0].type.shape
            if step != 1 or any(b != (0, e, 1) for b, e in zip(others, shape[1:], strict=True)):
                return None
            offset = offset + start * product(shape[1:])
        elif node.op is not RESHAPE:
            return None
        (node,) = node.inputs
    return None if node.op is EXTENT else Rows(node, offset)


def constant_behind(operand: Node) -> Node | None:
    """The array of several numbers that an operand shows through its views, if it shows one."""
    source = follow(operand).source
    static = all(isinstance(extent, int) for extent in operand.type.shape)
    return source if static and source.op is CONSTANT and source.attrs["value"].size > 1 else None


def shown(operand: Node, array: np.ndarray) -> np.ndarray:
    """What an operand shows of the array behind its views."""
    views: list[Node] = []
    while is_view(operand):
        views.append(operand)
        operand = operand.inputs[0]
    for view in reversed(views):
        assert view.op.evaluate is not None, "views are evaluated by numpy"
        array = np.asarray(view.op.evaluate(array, **view.attrs))
    return array


def _through(view: Node, axes: AxisMap | None) -> AxisMap | None:
    """Axes of the view's operand, in terms of the reader's axes."""
    if axes is None:
        return None
    (source,) = view.inputs
    shape = source.type.shape
    if view.op is BROADCAST:
        lead = view.type.rank - len(shape)
        pairs = ((axes[lead + i], view.type.shape[lead + i]) for i in range(len(shape)))
        return tuple(
            None if shape[i] == 1 and extent != 1 else axis for i, (axis, extent) in enumerate(pairs)
        )
    if view.op is PERMUTE:
        order = view.attrs["axes"]
        return tuple(axes[order.index(i)] for i in range(len(shape)))
    if view.op is RESHAPE:
        return _through_reshape(shape, view.type.shape, axes)
    return _through_slice(view, axes) if view.op is SLICE else None


def _through_slice(view: Node, axes: AxisMap) -> AxisMap | None:
    """A slice that takes whole axes, and of others the first element."""
    bounds, shape = view.attrs["bounds"], view.inputs[0].type.shape
    if not all(bound in ((0, extent, 1), FIRST) for bound, extent in zip(bounds, shape, strict=True)):
        return None
    return tuple(None if b == FIRST else axis for b, axis in zip(bounds, axes, strict=True))


def _through_reshape(shape: tuple, new: tuple, axes: AxisMap) -> AxisMap | None:
    """A reshape that only adds or removes axes of size 1 keeps the others' order."""
    kept = [axis for axis, extent in zip(axes, new, strict=True) if extent != 1]
    wanted = [extent for extent in shape if extent != 1]
    if [extent for extent in new if extent != 1] != wanted:
        return None
    left = iter(kept)
    return tuple(None if extent == 1 else next(left) for extent in shape)
