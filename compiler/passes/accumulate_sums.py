"""Pass: values of all steps that are only added up are added up as they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from symgraph.graph import Graph, Node
from symgraph.loops import SCAN, Loop, transform_loops
from symgraph.ops.arithmetic import add
from symgraph.ops.layout import broadcast_to
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, constant_node, input, made_for

MAKER = "accumulate_sums"


def accumulate_sums(graph: Graph) -> Graph:
    """sum over t of stack(y_t) = last(s),   s_0 = 0,   s_t+1 = s_t + y_t,   if only the sum reads it."""
    users = graph.users()
    results = set(graph.results)

    def summed(node: Node) -> bool:
        """Only over the steps, and of more than a number a step."""
        if node in results or node.type.rank < 2 or node.attrs["result"][0] != "stack":
            return False
        return all(u.op is sum_.op and u.attrs["axes"] == (0,) for u in users[node])

    def change(loop: Loop) -> Mapping[Node, Node]:
        return _with_sums(loop, [n for n in loop.results if summed(n)])

    def others(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        was = node.inputs[0] if node.op is sum_.op else None
        return inputs[0] if was is not None and was.op is SCAN and summed(was) else None

    return transform_loops(graph, change, MAKER, others)


def _with_sums(loop: Loop, chosen: list[Node]) -> Mapping[Node, Node]:
    """Results of the loop; for those chosen, the sums."""
    sums = {source: _sum_of(source) for source in dict.fromkeys(loop.source(n) for n in chosen)}
    inputs, news, starts = ([s[i] for s in sums.values()] for i in range(3))
    body, k = loop.body, loop.carries
    stacks = [n for n in loop.stacks if n not in sums]
    new = replace(
        loop,
        body=Graph(
            inputs=(*body.inputs[:k], *inputs, *body.inputs[k:]), outputs=(*body.outputs[:k], *news, *stacks)
        ),
        carries=k + len(sums),
        operands=(*loop.operands[:k], *starts, *loop.operands[k:]),
    )
    found = dict(new.results_like(replace(loop, results=_rest(loop, chosen)), {}, MAKER))
    numbers = {source: k + i for i, source in enumerate(sums)}
    for node in chosen:
        found[node] = new.node(("last", numbers[loop.source(node)]), node, MAKER)
    return found


def _rest(loop: Loop, chosen: list[Node]) -> tuple[Node, ...]:
    return tuple(n for n in loop.results if n not in chosen)


def _sum_of(source: Node) -> tuple[Node, Node, Node]:
    """A carry for the sum: its input, its new value and its first one."""
    kind = source.type
    with made_for(source, MAKER):
        total = input(f"sum of {source.name}", kind.shape, kind.dtype)
        zero = broadcast_to(Symbol(constant_node(np.zeros((), kind.dtype))), kind.shape)
        return total.node, _node(add(total, Symbol(source))), _node(zero)


def _node(value: object) -> Node:
    assert isinstance(value, Symbol)
    return value.node
