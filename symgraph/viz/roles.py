"""Which part of a graph a node belongs to: forward, backward, update, or one of the sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.ops.phase import CARRY
from symgraph.symbol import CONSTANT, INPUT
from symgraph.viz.picture import Lane, Role

CHAIN_RULE = "derive_gradients"


def role_table(graph: Graph, nodes: Sequence[Node]) -> dict[Node, Role]:
    """The role of every node. Updates are what only new values of states (or checks of inputs) need."""
    backward = made_by_chain_rule(nodes)
    needed = _needed(graph, nodes, backward)
    roles: dict[Node, Role] = {}
    for node in nodes:
        if node.op.kind is Kind.SOURCE:
            roles[node] = source_role(node)
        elif node in backward:
            roles[node] = Role.BACKWARD
        elif node in needed:
            roles[node] = Role.FORWARD
        else:
            roles[node] = Role.UPDATE
    return roles


def source_role(node: Node) -> Role:
    if node.op is INPUT:
        return Role.INPUT
    state = node.attrs.get("state")
    if state is not None:
        return Role.PARAMETER if getattr(state, "requires_grad", False) else Role.STATE
    return Role.CONSTANT if node.op is CONSTANT or node.op.kind is Kind.SOURCE else Role.FORWARD


def made_by_chain_rule(nodes: Iterable[Node]) -> set[Node]:
    """Nodes whose chain of origins goes through the pass that derives gradients, and requests for one.

    A copy that the pass made of a node because its operands changed is no gradient: it has the very
    attributes of its origin.
    """
    known: dict[Node, bool] = {}
    for node in nodes:
        chain: list[Node] = []
        current: Node | None = node
        found = False
        while current is not None and not found:
            if current in known:
                found = known[current]
                break
            chain.append(current)
            found = current.op.kind is Kind.REQUEST or _made_here(current)
            current = current.origin.node if current.origin is not None else None
        for seen in chain:
            known[seen] = found
    return {node for node, found in known.items() if found}


def _made_here(node: Node) -> bool:
    origin = node.origin
    if origin is None or origin.maker != CHAIN_RULE:
        return False
    return not (origin.node.op is node.op and origin.node.attrs is node.attrs)


def _needed(graph: Graph, nodes: Sequence[Node], backward: set[Node]) -> set[Node]:
    """What an output or a gradient is computed from."""
    needed = set(graph.outputs) | backward
    for node in reversed(nodes):
        if node in needed:
            # The second and third operands of a carry are the new value of a state, not data.
            needed.update(node.inputs[:1] if node.op is CARRY else node.inputs)
    return needed


def lane_table(nodes: Sequence[Node], roles: dict[Node, Role]) -> dict[Node, Lane]:
    """Lanes never decrease along an edge. Sources, and what only updates need, stand with their readers."""
    lanes: dict[Node, Lane] = {}
    for node in nodes:
        after = any(lanes[i] is not Lane.FORWARD for i in node.inputs)
        if roles[node] is Role.BACKWARD or (after and roles[node] is not Role.UPDATE):
            lanes[node] = Lane.BACKWARD
        else:
            lanes[node] = Lane.UPDATE if after else Lane.FORWARD
    first: dict[Node, Lane] = {}
    for node in reversed(nodes):
        if node.op.kind is Kind.SOURCE or roles[node] is Role.UPDATE:
            lanes[node] = max(lanes[node], first.get(node, Lane.FORWARD), key=_position)
        for operand in node.inputs:
            first[operand] = min(lanes[node], first.get(operand, Lane.UPDATE), key=_position)
    return lanes


def _position(lane: Lane) -> int:
    return lane.value
