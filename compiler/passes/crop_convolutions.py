"""Pass: of a convolution only what is read is computed: the gradient of padding cuts the border off."""

from __future__ import annotations

from symgraph.dimension import Extent, at_least
from symgraph.graph import Graph, Node, transform
from symgraph.op import Attrs
from symgraph.ops.convolution import CONVOLUTION, convolution
from symgraph.ops.layout import PAD, SLICE, padded, static_slice
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

Bound = tuple[Extent, Extent, int]


def crop_convolutions(graph: Graph) -> Graph:
    """convolution(x, w)[a:b] = convolution(x[a * stride : (b - 1) * stride + reach], w), where a slice along
    the spatial axes is the only reader; and pad(x, before, after)[a : n - c] = pad(x, before - a, after - c).
    """
    users = graph.users()
    results = set(graph.results)

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not SLICE or inputs[0].op is not CONVOLUTION:
            return None
        (old,) = node.inputs
        (_, *spatial, _) = node.attrs["bounds"]
        if len(users[old]) > 1 or old in results or not _cuts_space(node):
            return None
        x, w = (Symbol(i) for i in inputs[0].inputs)
        attrs = inputs[0].attrs
        with made_for(node, "crop_convolutions"):
            made = convolution(_cropped(x, _read_by(spatial, w.shape, attrs)), w, **attrs)
        assert isinstance(made, Symbol)
        return made.node

    return transform(graph, visit, "crop_convolutions")


def _cuts_space(node: Node) -> bool:
    bounds, shape = node.attrs["bounds"], node.inputs[0].type.shape
    whole = all(bounds[i] == (0, shape[i], 1) for i in (0, -1))
    return whole and all(step == 1 and at_least(stop - start, 1) for start, stop, step in bounds[1:-1])


def _read_by(windows: list[Bound], shape: tuple[Extent, ...], attrs: Attrs) -> list[Bound]:
    """The elements that these windows of each spatial axis reach over."""
    found: list[Bound] = []
    for (start, stop, _), size, stride, dilation in zip(
        windows, shape, attrs["stride"], attrs["dilation"], strict=False
    ):
        found.append((start * stride, (stop - 1) * stride + (size - 1) * dilation + 1, 1))
    return found


def _cropped(x: Symbol, spatial: list[Bound]) -> Value:
    """x[N, *S, C] cut along its spatial axes; where the cut only takes padding away, less is padded."""
    bounds = ((0, x.shape[0], 1), *spatial, (0, x.shape[-1], 1))
    if x.node.op is PAD:
        widths = []
        for (start, stop, _), extent, (before, after, between) in zip(
            bounds, x.shape, x.node.attrs["widths"], strict=True
        ):
            if not (at_least(before, start) and at_least(after, extent - stop)):
                return static_slice(x, bounds)
            widths.append((before - start, after - (extent - stop), between))
        return padded(Symbol(x.node.inputs[0]), tuple(widths), x.node.attrs["value"])
    return static_slice(x, bounds)
