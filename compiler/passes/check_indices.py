"""Pass: indices that must lie in a range become flags that stop a run before anything changes."""

from __future__ import annotations

from dataclasses import replace

from symgraph.graph import Graph, Node
from symgraph.ops.casting import cast
from symgraph.ops.gather import WITHIN
from symgraph.ops.reduce import extent_of, sum_
from symgraph.symbol import Symbol, made_for
from symgraph.types import int32


def check_indices(graph: Graph) -> Graph:
    """within(indices, extent) -> within(indices, extent), and a check: is any index outside [0, extent)?"""
    flags: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op is WITHIN and node.inputs[0] not in flags:
            flags[node.inputs[0]] = _flag(node)
    return replace(graph, checks=graph.checks + tuple(flags.values()))


def _flag(node: Node) -> Node:
    """How many indices are outside; a sum, because it is 0 where there are none at all."""
    with made_for(node, "check_indices"):
        indices = Symbol(node.inputs[0])
        outside = (indices < 0) | (indices >= extent_of(node.attrs["extent"], indices))
        made = sum_(cast(outside, int32))
    assert isinstance(made, Symbol)
    return made.node
