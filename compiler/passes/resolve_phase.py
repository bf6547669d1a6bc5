"""Pass: choose training or inference, and turn carried state into updates of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symgraph.errors import GraphError
from symgraph.graph import Graph, Node, copy_with, topological, transform
from symgraph.loops import Loop, transform_loops
from symgraph.ops.phase import CARRY, PHASE, READ

MAKER = "resolve_phase"


def resolve_phase(graph: Graph, *, training: bool) -> Graph:
    """phase(t, i) -> t or i; read(s) -> s; carry(v, new) -> v, and s := new becomes an update.

    A module called twice changes its state twice: the second call, in the order of the program, reads what
    the first one left.
    """
    inside = transform_loops(graph, lambda loop: _in_loop(loop, training), MAKER)
    chosen = transform(inside, lambda node, inputs: _choose(node, inputs, training), MAKER)
    carries = [n for n in chosen.nodes if n.op is CARRY and (training or n.attrs["always"])]
    previous: dict[Node, Node] = {}
    last: dict[Node, Node] = {}
    pairs = dict.fromkeys((c.inputs[2], c.inputs[1]) for c in carries)
    for seen, new in sorted(pairs, key=lambda pair: pair[0].attrs["serial"]):
        state = seen.inputs[0]
        if state in last:
            previous[seen] = last[state]
        last[state] = new
    return _replace(chosen, previous, last)


def _in_loop(loop: Loop, training: bool) -> Mapping[Node, Node]:
    """In a body a state is a carry: what would be its update is the carry's new value."""
    inputs = loop.body.inputs
    body = resolve_phase(loop.body, training=training)
    updates = dict(body.updates)
    carries = zip(inputs, body.outputs[: loop.carries], strict=False)
    new = [updates.get(before, after) for before, after in carries]
    stacks = body.outputs[loop.carries :]
    made = replace(loop, body=Graph(inputs=inputs, outputs=(*new, *stacks)))
    moved = dict(zip(loop.stacks, stacks, strict=True))
    return made.with_stacks(stacks).results_like(loop, moved, MAKER)


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
    return copy_with(node, inputs, MAKER)


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
