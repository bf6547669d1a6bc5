"""Pass: outputs of a convolution that a slice throws away are not computed."""

from __future__ import annotations

from symgraph.dimension import Extent
from symgraph.graph import Graph, Node, transform
from symgraph.ops.convolution import CONVOLUTION, convolution
from symgraph.ops.layout import PAD, SLICE, padded
from symgraph.symbol import Symbol, made_for

Width = tuple[Extent, Extent, int]


def narrow_convolutions(graph: Graph) -> Graph:
    """slice(convolution(pad(x), w)) = convolution(pad(x), w) with less padding, where it has no other user.

    So the gradient of a padded convolution's input does not go through the gradient of the padding.
    """
    users = graph.users()
    results = set(graph.results)

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not SLICE or inputs[0].op is not CONVOLUTION or inputs[0].inputs[0].op is not PAD:
            return None
        if len(users[node.inputs[0]]) > 1 or node.inputs[0] in results:
            return None
        inner, w = inputs[0].inputs
        widths = _narrowed(node, inputs[0], inner)
        if widths is None:
            return None
        with made_for(node, "narrow_convolutions"):
            x = padded(Symbol(inner.inputs[0]), widths, inner.attrs["value"])
            made = convolution(x, Symbol(w), **inputs[0].attrs)
        assert isinstance(made, Symbol)
        return made.node

    return transform(graph, visit, "narrow_convolutions")


def _narrowed(kept: Node, made: Node, pad: Node) -> tuple[Width, ...] | None:
    """Widths of the padding that the kept outputs read; None where they do not read all of what is padded."""
    last = made.type.rank - 1
    bounds, strides = kept.attrs["bounds"], (1, *made.attrs["stride"], 1)
    widths: list[Width] = []
    for axis, (before, after, between) in enumerate(pad.attrs["widths"]):
        (start, stop, step), extent = bounds[axis], made.type.shape[axis]
        cut = extent - stop
        if (axis in (0, last) and (start, cut) != (0, 0)) or step != 1:
            return None
        # Elements behind the last window of the uncut outputs are never read: they stay.
        before, after = before - start * strides[axis], after - cut * strides[axis]
        if not all(isinstance(w, int) and w >= 0 for w in (before, after)):
            return None
        widths.append((before, after, between))
    return tuple(widths)
