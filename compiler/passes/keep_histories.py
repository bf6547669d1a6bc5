"""Pass: a carry whose value before each step is kept needs no memory but that of all its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symgraph.dimension import Extent
from symgraph.graph import Graph, Node
from symgraph.loops import Loop, transform_loops
from symgraph.ops.layout import squeeze, static_slice
from symgraph.symbol import Symbol, made_for
from symgraph.value import Value

MAKER = "keep_histories"


def keep_histories(graph: Graph) -> Graph:
    """With h = (c_0, c_1, ... c_T), the history of a carry c whose old values are stacked,

    stack(c_t) = h[:T],   stack(c_t+1) = h[1:],   last(c) = h[T],   in a reversed loop the other way round.
    """
    return transform_loops(graph, _in_loop, MAKER)


def _in_loop(loop: Loop) -> Mapping[Node, Node]:
    inputs, outputs = loop.body.inputs, loop.body.outputs
    kept = [k for k in range(loop.carries) if inputs[k] in loop.stacks]
    old, new = {inputs[k]: k for k in kept}, {outputs[k]: k for k in kept}
    rest = loop.with_stacks(n for n in loop.stacks if n not in old and n not in new)
    histories = {k: rest.node(("history", k), loop.results[0], MAKER) for k in kept}
    others = replace(loop, results=tuple(n for n in loop.results if _carry_of(n, loop, old, new) is None))
    found = dict(rest.results_like(others, {}, MAKER))
    for node in loop.results:
        k = _carry_of(node, loop, old, new)
        if k is not None:
            found[node] = _part(histories[k], node, loop, loop.source(node) in old)
    return found


def _carry_of(node: Node, loop: Loop, old: Mapping[Node, int], new: Mapping[Node, int]) -> int | None:
    """The carry whose history a result is a part of."""
    kind, number = node.attrs["result"]
    if kind == "stack":
        source = loop.source(node)
        return old.get(source, new.get(source))
    return number if number in old.values() else None


def _part(history: Node, result: Node, loop: Loop, before: bool) -> Node:
    """The rows of the history that a result is: those before each step, after each step, or the last."""
    start: Extent = int(before == loop.reverse)
    with made_for(result, MAKER):
        if result.attrs["result"][0] == "stack":
            made = _rows(history, start, start + loop.length)
        else:
            at: Extent = 0 if loop.reverse else loop.length
            made = squeeze(_rows(history, at, at + 1), 0)
    assert isinstance(made, Symbol)
    return made.node


def _rows(history: Node, start: Extent, stop: Extent) -> Value:
    """Some rows, which a history of a carry has even where the number of steps may turn out to be 0."""
    return static_slice(Symbol(history), ((start, stop, 1), *((0, e, 1) for e in history.type.shape[1:])))
