"""Pass: replace every request for a gradient by the graph the chain rule derives."""

from __future__ import annotations

import numpy as np

from symgraph.chain_rule import gradients_of
from symgraph.errors import GradientError
from symgraph.graph import Graph, Node, copy_with, topological
from symgraph.op import Kind
from symgraph.ops.casting import full_like, zeros_like
from symgraph.symbol import Symbol, made_for

MAKER = "derive_gradients"


def derive_gradients(graph: Graph) -> Graph:
    """gradient(loss, w) -> the adjoint of w in one reverse sweep from loss.

    Requests are met bottom-up, so a loss that holds gradients itself is differentiated through them.
    """
    nodes = graph.nodes
    requests: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.op.kind is Kind.REQUEST:
            requests.setdefault(node.inputs[0], []).append(node)
    new: dict[Node, Node] = {}
    for node in nodes:
        if node in new:
            continue
        if node.op.kind is Kind.REQUEST:
            _answer(node.inputs[0], requests[node.inputs[0]], new)
        else:
            inputs = tuple(new[i] for i in node.inputs)
            new[node] = node if inputs == node.inputs else copy_with(node, inputs, MAKER)
    return graph.with_results([new[n] for n in graph.results])


def _answer(loss: Node, requests: list[Node], new: dict[Node, Node]) -> None:
    """One sweep for all gradients of a loss whose operands exist already.

    An operand that comes later is one the loss no longer depends on; it needs no sweep.
    """
    ready = [r for r in requests if r not in new and r.inputs[1] in new]
    wanted = list(dict.fromkeys(new[r.inputs[1]] for r in ready))
    target = new[loss]
    values = {n: Symbol(n) for n in topological([target])}
    found = {}
    if any(w in values for w in wanted):
        with made_for(loss, MAKER):
            found = gradients_of({target: full_like(Symbol(target), 1.0)}, wanted, values)
    for request in ready:
        operand = new[request.inputs[1]]
        adjoint = found.get(operand)
        if adjoint is None:
            adjoint = _zero_gradient(request, operand)
        assert isinstance(adjoint, Symbol)
        new[request] = adjoint.node


def _zero_gradient(request: Node, operand: Node) -> Symbol:
    """A path that exists but carries nothing (through stop_gradient): zero is the gradient."""
    if not np.issubdtype(operand.type.dtype, np.floating):
        raise GradientError(f"{operand.name} is {operand.type}: no gradient with respect to integers")
    with made_for(request, MAKER):
        zero = zeros_like(Symbol(operand))
    assert isinstance(zero, Symbol)
    return zero
