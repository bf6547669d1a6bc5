"""What an eager tensor was computed from, as a graph to draw; names of the caller's variables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType

from symgraph import location
from symgraph.eager import State, Tensor, is_number, tape_order
from symgraph.graph import Graph, Node
from symgraph.symbol import CONSTANT, INPUT, STATE, Symbol
from symgraph.value import Value


def variables() -> dict[str, Value]:
    """Values held by local variables of the innermost frame outside symgraph, by name."""
    frame = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    local = frame.f_locals if frame is not None else {}
    return {n: v for n, v in local.items() if isinstance(v, Value) and not n.startswith("_")}


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] in ("symgraph", "compiler")


def node_names(variables: Mapping[str, Value]) -> dict[Node, str]:
    """The first variable that holds each node of the static world."""
    names: dict[Node, str] = {}
    for name, value in variables.items():
        if isinstance(value, Symbol):
            names.setdefault(value.node, name)
        elif isinstance(value, State):
            names.setdefault(value.leaf_node(), name)
    return names


def tape_graph(result: Tensor, variables: Mapping[str, Value]) -> tuple[Graph, dict[Node, str]]:
    """The tape that ends in `result`, and the variables' names of its nodes.

    Leaves that require a gradient are drawn as parameters, other arrays as inputs, numbers as constants.
    """
    names: dict[int, str] = {}
    for name, value in variables.items():
        names.setdefault(id(value), name)
    nodes: dict[int, Node] = {}
    for value in tape_order(result):
        name = names.get(id(value))
        nodes[id(value)] = _leaf(value, name) if value.record is None else _step(value, nodes)
    inputs = tuple(node for node in nodes.values() if node.op is INPUT)
    named = {node: names[key] for key, node in nodes.items() if key in names}
    return Graph(inputs=inputs, outputs=(nodes[id(result)],)), named


def _step(value: Tensor, nodes: Mapping[int, Node]) -> Node:
    assert value.record is not None
    op, inputs, attrs = value.record
    operands = tuple(nodes[id(i)] for i in inputs)
    return Node(op=op, inputs=operands, attrs=attrs, type=value.type, location=location.UNKNOWN)


def _leaf(value: Tensor, name: str | None) -> Node:
    if isinstance(value, State):
        return value.leaf_node()
    if value.requires_grad:
        op, attrs = STATE, {"name": name or "leaf", "state": value}
    elif name is None and value.data.size and is_number(value.data):
        op, attrs = CONSTANT, {"value": value.data.flat[0]}
    else:
        op, attrs = INPUT, {"name": name or "array", "type": value.type}
    return Node(op=op, inputs=(), attrs=attrs, type=value.type, location=location.UNKNOWN)
