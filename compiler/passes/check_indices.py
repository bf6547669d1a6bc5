"""Pass: indices that must lie in a range become flags that stop a run before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symgraph.graph import Graph, Node
from symgraph.loops import Loop, transform_loops
from symgraph.ops.casting import cast
from symgraph.ops.gather import WITHIN
from symgraph.ops.reduce import extent_of, sum_
from symgraph.symbol import Symbol, made_for
from symgraph.types import int32

MAKER = "check_indices"


def check_indices(graph: Graph) -> Graph:
    """within(indices, extent) -> within(indices, extent), and a check: is any index outside [0, extent)?

    In a loop each step counts, and their sum is the check.
    """
    checks: list[Node] = []
    graph = transform_loops(graph, lambda loop: _in_loop(loop, checks), MAKER)
    flags: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op is WITHIN and node.inputs[0] not in flags:
            flags[node.inputs[0]] = _flag(node)
    return replace(graph, checks=(*graph.checks, *checks, *flags.values()))


def _in_loop(loop: Loop, checks: list[Node]) -> Mapping[Node, Node]:
    body = check_indices(loop.body)
    made = replace(loop, body=replace(body, checks=()))
    moved = dict(zip(loop.stacks, made.stacks, strict=True))
    made = made.with_stacks((*made.stacks, *body.checks))
    for flag in body.checks:
        counts = made.node(("stack", made.stacks.index(flag)), loop.results[0], MAKER)
        with made_for(loop.results[0], MAKER):
            total = sum_(Symbol(counts))
        assert isinstance(total, Symbol)
        checks.append(total.node)
    return made.results_like(loop, moved, MAKER)


def _flag(node: Node) -> Node:
    """How many indices are outside; a sum, because it is 0 where there are none at all."""
    with made_for(node, MAKER):
        indices = Symbol(node.inputs[0])
        outside = (indices < 0) | (indices >= extent_of(node.attrs["extent"], indices))
        made = sum_(cast(outside, int32))
    assert isinstance(made, Symbol)
    return made.node
