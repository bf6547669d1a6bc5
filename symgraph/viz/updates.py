"""Grouping of update expressions: one box a parameter, with the moments that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symgraph.graph import Node, Update
from symgraph.viz.picture import Role


@dataclass(slots=True)
class UpdateGroup:
    """States that get new values together, and the nodes only they need. No states: a check of inputs."""

    states: list[Node] = field(default_factory=list)
    values: list[Node] = field(default_factory=list)
    members: list[Node] = field(default_factory=list)
    shared: bool = False


def group_updates(
    nodes: Sequence[Node], roles: dict[Node, Role], updates: Sequence[Update]
) -> list[UpdateGroup]:
    """Groups in topological order; the one shared by several others (a step counter) comes first.

    An update is final if no other update reads its new value (w, not its moments m and v). A node
    belongs to the final update that it is for, or to the shared group if it is for several.
    """
    keys = _keys(nodes, roles)
    groups: dict[Node | None, UpdateGroup] = {}
    for node in nodes:
        if node in keys:
            groups.setdefault(keys[node], UpdateGroup()).members.append(node)
    for state, value in updates:
        group = groups.setdefault(keys.get(value, value), UpdateGroup())
        final = keys.get(value, value) is value
        group.states.insert(0 if final else len(group.states), state)
        group.values.append(value)
    shared = groups.pop(None, None)
    if shared is None:
        return list(groups.values())
    shared.shared = True
    return [shared, *groups.values()]


def _keys(nodes: Sequence[Node], roles: dict[Node, Role]) -> dict[Node, Node | None]:
    """For each node of role UPDATE the new value it is for, or None where there are several."""
    keys: dict[Node, Node | None] = {}
    for node in reversed(nodes):
        if roles[node] is not Role.UPDATE:
            continue
        key = keys.setdefault(node, node)  # nothing reads it, so it is a final value itself
        for operand in node.inputs:
            if roles[operand] is Role.UPDATE:
                keys[operand] = key if keys.get(operand, key) is key else None
    return keys
