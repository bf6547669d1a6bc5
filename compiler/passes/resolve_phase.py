"""Pass: choose training or inference, and turn carried state into updates of the graph."""

from __future__ import annotations

from dataclasses import replace

from symgraph.errors import GraphError
from symgraph.graph import Graph, Node, copy_with, topological, transform
from symgraph.ops.phase import CARRY, PHASE, READ


def resolve_phase(graph: Graph, *, training: bool) -> Graph:
    """phase(t, i) -> t or i; read(s) -> s; carry(v, new) -> v, and s := new becomes an update.

    A module called twice changes its state twice: the second call reads what the first one left.
    """
    chosen = transform(graph, lambda node, inputs: _choose(node, inputs, training), "resolve_phase")
    carries = [n for n in chosen.nodes if n.op is CARRY and (training or n.attrs["always"])]
    previous: dict[Node, Node] = {}
    last: dict[Node, Node] = {}
    for carry in carries:
        seen = carry.inputs[2]
        state = seen.inputs[0]
        if state in last:
            previous[seen] = last[state]
        last[state] = carry.inputs[1]
    return _replace(chosen, previous, last)


def _choose(node: Node, inputs: tuple[Node, ...], training: bool) -> Node | None:
    return inputs[0 if training else 1] if node.op is PHASE else None


def _replace(graph: Graph, previous: dict[Node, Node], last: dict[Node, Node]) -> Graph:
    explicit = {state for state, _ in graph.updates}
    for state in last:
        if state in explicit:
            raise GraphError(
                f"{state.name} is updated twice: by `updates=` and by the module that carries it"
            )
    wanted = (*graph.results, *last.values())
    new: dict[Node, Node] = {}
    # A read may stand for a value that is made elsewhere in the graph, so that value comes first.
    for node in _topological_with(wanted, graph.inputs, previous):
        new[node] = _resolved(node, new, previous)
    results = [new[n] for n in graph.results]
    done = graph.with_results(results)
    carried = tuple((state, new[value]) for state, value in last.items())
    return replace(done, updates=done.updates + carried)


def _resolved(node: Node, new: dict[Node, Node], previous: dict[Node, Node]) -> Node:
    if node.op is READ:
        return new[previous[node]] if node in previous else new[node.inputs[0]]
    if node.op is CARRY:
        return new[node.inputs[0]]
    inputs = tuple(new[i] for i in node.inputs)
    if inputs == node.inputs:
        return node
    return copy_with(node, inputs, "resolve_phase")


def _topological_with(
    results: tuple[Node, ...], first: tuple[Node, ...], previous: dict[Node, Node]
) -> list[Node]:
    """Topological order in which a read also comes after the value it stands for."""
    if not previous:
        return list(topological(results, first))
    order: list[Node] = []
    done: set[Node] = set()
    for root in (*first, *results):
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            if ready:
                done.add(node)
                order.append(node)
                continue
            stack.append((node, True))
            extra = (previous[node],) if node in previous else ()
            stack.extend((i, False) for i in (*extra, *reversed(node.inputs)) if i not in done)
    return order
