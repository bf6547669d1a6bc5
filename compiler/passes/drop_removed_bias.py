"""Pass: a bias right before a normalization that subtracts the mean again has no effect, so it is dropped.

But for a bias that is infinite or NaN: then the sum has no spread, and its column is NaN. So b - b, which is
0 or NaN, is added after the normalization, where it costs no work of its own.
"""

from __future__ import annotations

from compiler.passes.patterns import mean_of, spread_over, variance_of
from symgraph.graph import Graph, Node, copy_with
from symgraph.op import Kind
from symgraph.ops import arithmetic
from symgraph.ops.casting import stop_gradient
from symgraph.ops.layout import reshape
from symgraph.ops.normalize import standardize_over
from symgraph.ops.reduce import mean, var
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

MAKER = "drop_removed_bias"


def drop_removed_bias(graph: Graph) -> Graph:
    """standardize(x + b) -> standardize(x) + (b - b), mean(x + b) -> mean(x) + b,
    var(x + b) -> var(x) + (b - b).

    Where b is constant along the normalized axes. The gradient of b is then zero, as it should be, and not
    the rounding errors of a sum. `report()` tells the user.
    """
    biased = {found[0] for node in graph.nodes if (found := _biased(node)) is not None}
    if not any(n.op is standardize_over.op and n.inputs[0] in biased for n in graph.nodes):
        return graph
    asked = {node.inputs[1] for node in graph.nodes if node.op.kind is Kind.REQUEST}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[i] for i in node.inputs)
        made = None if asked & biased else _without_bias(node, new)
        new[node] = made or (node if inputs == node.inputs else copy_with(node, inputs, MAKER))
    return graph.with_results([new[n] for n in graph.results])


def _biased(node: Node) -> tuple[Node, tuple[int, ...], Node, Node, Node] | None:
    """(x + b, axes, x, b spread along them, b) if the node normalizes, averages or spreads x + b."""
    found = _statistic(node)
    if found is None or found[0].op is not arithmetic.add.op:
        return None
    whole, axes = found
    for x, b in (whole.inputs, whole.inputs[::-1]):
        vector = spread_over(b, axes, whole.type.rank)
        if vector is not None and b.op.name == "broadcast_to" and vector is not b:
            return whole, axes, x, b, vector
    return None


def _statistic(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    if node.op is standardize_over.op:
        return node.inputs[0], node.attrs["axes"]
    return variance_of(node) or mean_of(node)


def _without_bias(node: Node, new: dict[Node, Node]) -> Node | None:
    found = _biased(node)
    if found is None:
        return None
    _, axes, x, spread, bias = found
    with made_for(node, MAKER):
        plain, shift, vector = Symbol(new[x]), Symbol(new[spread]), Symbol(new[bias])
        if node.op is standardize_over.op:
            made = standardize_over(plain, **node.attrs) + stop_gradient(shift - shift)
        elif variance_of(node) is not None:
            spoilt = stop_gradient(_row(vector - vector, plain, axes))
            made = reshape(var(plain, axes) + spoilt, node.type.shape)
        else:
            made = reshape(mean(plain, axes) + _row(vector, plain, axes), node.type.shape)
    assert isinstance(made, Symbol)
    return made.node


def _row(vector: Value, x: Symbol, axes: tuple[int, ...]) -> Value:
    """A bias in the shape of a statistic over the axes, which keeps the others."""
    return reshape(vector, tuple(extent for i, extent in enumerate(x.shape) if i not in axes))
