"""Pass: normalizations written by hand become the one op whose gradient is known in closed form."""

from __future__ import annotations

from compiler.passes.patterns import centered_of, number_of, spread_over, variance_of
from compiler.views import follow
from symgraph.graph import Graph, Node, transform
from symgraph.op import Kind
from symgraph.ops import arithmetic, casting, elementary
from symgraph.ops.normalize import softmax_along, standardize_over
from symgraph.ops.reduce import max_, sum_
from symgraph.symbol import Symbol, made_for


def recognize_normalizations(graph: Graph) -> Graph:
    """(x - mean) / sqrt(var + eps) -> standardize(x); exp(x - max) / sum(exp(x - max)) -> softmax(x).

    Only where nothing asks for a gradient with respect to a value in between: the path would be gone.
    """
    asked = {node.inputs[1] for node in graph.nodes if node.op.kind is Kind.REQUEST}

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op not in (arithmetic.divide.op, arithmetic.multiply.op):
            return None
        found = _standardized(node, inputs) or _softmax(node, inputs)
        return None if found is None or asked & _between(node, found[1]) else found[0]

    return transform(graph, visit, "recognize_normalizations")


def _between(old: Node, last: int) -> set[Node]:
    """Nodes of the written formula, up to `last` steps above its result."""
    found: set[Node] = set()
    front = list(old.inputs)
    for _ in range(last):
        found.update(front)
        front = [i for node in front for i in node.inputs]
    return found


def _standardized(node: Node, inputs: tuple[Node, ...]) -> tuple[Node, int] | None:
    for centered, scale in (inputs, inputs[::-1]):
        found = centered_of(centered)
        if found is None or (node.op is arithmetic.divide.op and centered is not inputs[0]):
            continue
        x, axes = found
        statistic = spread_over(scale, axes, x.type.rank)
        eps = _epsilon(statistic, node.op is arithmetic.divide.op, found) if statistic is not None else None
        if eps is not None:
            with made_for(node, "recognize_normalizations"):
                made = standardize_over(Symbol(x), axes=axes, eps=eps)
            assert isinstance(made, Symbol)
            return made.node, 10
    return None


def _epsilon(scale: Node, divided: bool, centered: tuple[Node, tuple[int, ...]]) -> float | None:
    """eps if `scale` is sqrt(var + eps) (divided by) or its reciprocal (multiplied with)."""
    inner = _behind_root(scale, divided)
    if inner is None:
        return None
    if inner.op is arithmetic.add.op:
        for variance, offset in (inner.inputs, inner.inputs[::-1]):
            number = number_of(offset)
            if number is not None and variance_of(follow(variance).source) == centered:
                return number
    return 0.0 if variance_of(inner) == centered else None


def _behind_root(scale: Node, divided: bool) -> Node | None:
    if divided:
        return follow(scale.inputs[0]).source if scale.op is elementary.sqrt.op else None
    if scale.op is elementary.rsqrt.op:
        return follow(scale.inputs[0]).source
    if scale.op is arithmetic.divide.op and number_of(scale.inputs[0]) == 1.0:
        root = follow(scale.inputs[1]).source
        return follow(root.inputs[0]).source if root.op is elementary.sqrt.op else None
    return None


def _softmax(node: Node, inputs: tuple[Node, ...]) -> tuple[Node, int] | None:
    power, total = inputs
    if node.op is not arithmetic.divide.op or power.op is not elementary.exp.op:
        return None
    reduction = follow(total).source
    if reduction.op is not sum_.op or reduction.inputs[0] is not power or len(reduction.attrs["axes"]) != 1:
        return None
    axes = reduction.attrs["axes"]
    shifted = power.inputs[0]
    x = _without_maximum(shifted, axes)
    if spread_over(total, axes, node.type.rank) is None or x is None:
        return None
    with made_for(node, "recognize_normalizations"):
        made = softmax_along(Symbol(x), axis=axes[0])
    assert isinstance(made, Symbol)
    return made.node, 6


def _without_maximum(shifted: Node, axes: tuple[int, ...]) -> Node | None:
    """x, if the node is x minus its maximum over axes."""
    if shifted.op is not arithmetic.subtract.op:
        return None
    x, largest = shifted.inputs
    top = follow(largest).source
    if top.op is casting.stop_gradient.op:
        top = follow(top.inputs[0]).source
    same = top.op is max_.op and top.inputs[0] is x and top.attrs["axes"] == axes
    return x if same and spread_over(largest, axes, x.type.rank) is not None else None
