"""Pass: replace composites by the graphs they stand for."""

from __future__ import annotations

from symgraph.graph import Graph, Node, copy_with, topological
from symgraph.op import Kind
from symgraph.symbol import Symbol, made_for


def expand_composites(graph: Graph) -> Graph:
    """softmax(x) -> exp(x - max) / sum, and so on, until no composite is left."""
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = _expanded(node, tuple(new[i] for i in node.inputs))
    return graph.with_results([new[n] for n in graph.results])


def _expanded(node: Node, inputs: tuple[Node, ...]) -> Node:
    if node.op.kind is not Kind.COMPOSITE:
        return node if inputs == node.inputs else copy_with(node, inputs, "expand_composites")
    with made_for(node, "expand_composites"):
        made = node.op.body(*(Symbol(i) for i in inputs), **node.attrs).node
    if not any(n.op.kind is Kind.COMPOSITE for n in _between(made, inputs)):
        return made
    return _expanded_inside(made, inputs)


def _between(result: Node, inputs: tuple[Node, ...]) -> list[Node]:
    """Nodes made inside one expansion: what `result` needs above `inputs`."""
    below = set(inputs)
    found: list[Node] = []
    stack = [result]
    while stack:
        node = stack.pop()
        if node not in below:
            below.add(node)
            found.append(node)
            stack.extend(node.inputs)
    return found


def _expanded_inside(result: Node, inputs: tuple[Node, ...]) -> Node:
    inside = set(_between(result, inputs))
    new: dict[Node, Node] = {i: i for i in inputs}
    for node in topological([result]):
        new[node] = _expanded(node, tuple(new[i] for i in node.inputs)) if node in inside else node
    return new[result]
