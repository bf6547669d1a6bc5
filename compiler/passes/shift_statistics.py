"""Pass: mean and variance of columns in one sweep of memory, and right at any offset.

A row fits the first cache, so it is read twice for its mean and then its variance. Columns do not: there
both come from sums of d = x - p, with p the first row, so that little cancels:

    mean = p + E[d]        var = max(E[d^2] - E[d]^2, 0)

|p - mean| is at most sqrt(n - 1) standard deviations (Samuelson 1968), so at worst n units in the last
place are lost; E[x^2] - E[x]^2 loses everything when the mean is large.

Where p is not finite, d = x: infinity minus itself would make a mean NaN that is infinite.
"""

from __future__ import annotations

from compiler.passes.patterns import mean_of, variance_of
from symgraph.dimension import product
from symgraph.graph import Graph, Node, copy_with
from symgraph.ops.arithmetic import maximum, square
from symgraph.ops.layout import broadcast_to, reshape, static_slice
from symgraph.ops.logic import isfinite, where
from symgraph.ops.reduce import extent_of, sum_
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

Statistic = tuple[Node, tuple[int, ...]]


def shift_statistics(graph: Graph) -> Graph:
    """mean and var over axes that leave out the last one -> sums of distances from the first row.

    Only where both are wanted of one value: a mean alone needs one sweep anyway.
    """
    spreads = (variance_of(node) for node in graph.nodes)
    wanted = {found for found in spreads if found is not None and _is_columns(found)}
    new: dict[Node, Node] = {}
    for node in graph.nodes if wanted else ():
        inputs = tuple(new[i] for i in node.inputs)
        new[node] = _shifted(node, wanted, new) or (
            node if inputs == node.inputs else copy_with(node, inputs, "shift_statistics")
        )
    return graph.with_results([new[n] for n in graph.results]) if wanted else graph


def _shifted(node: Node, wanted: set[Statistic], new: dict[Node, Node]) -> Node | None:
    """The new form of a mean or variance that is wanted."""
    spread = variance_of(node)
    found = spread if spread in wanted else mean_of(node)
    if found is None or found not in wanted:
        return None
    with made_for(node, "shift_statistics"):
        pivot, first, second = _sums(Symbol(new[found[0]]), found[1])
        value = maximum(second - square(first), 0.0) if found is spread else pivot + first
        made = reshape(value, node.type.shape)
    assert isinstance(made, Symbol)
    return made.node


def _is_columns(found: Statistic) -> bool:
    x, axes = found
    return x.type.rank - 1 not in axes


def _sums(x: Symbol, axes: tuple[int, ...]) -> tuple[Value, Value, Value]:
    """The first row, and E[d], E[d^2] of the distances from it."""
    bounds = tuple((0, 1, 1) if i in axes else (0, e, 1) for i, e in enumerate(x.shape))
    row = static_slice(x, bounds)
    pivot = broadcast_to(row, x.shape)
    distance = x - where(isfinite(pivot), pivot, 0.0)
    kept = tuple(e for i, e in enumerate(x.shape) if i not in axes)
    count = extent_of(product(x.shape[i] for i in axes), x)
    return reshape(row, kept), sum_(distance, axes) / count, sum_(square(distance), axes) / count
