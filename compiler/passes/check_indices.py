"""Pass: what must hold of the indices in the inputs becomes flags that stop the run before anything changes."""

from __future__ import annotations

from dataclasses import replace

from symgraph.graph import Graph, Node
from symgraph.ops.arithmetic import cast
from symgraph.ops.gather import WITHIN
from symgraph.ops.reduce import extent_of, max_
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
    """1 where some index is outside, else 0."""
    with made_for(node, "check_indices"):
        indices = Symbol(node.inputs[0])
        outside = (indices < 0) | (indices >= extent_of(node.attrs["extent"], indices))  # pyright: ignore
        made = max_(cast(outside, int32))
    assert isinstance(made, Symbol)
    return made.node
