"""How often a fused nest goes over its domain, and what happens in each sweep.

A reduction's result exists only after a whole sweep, so what reads it belongs to the next one. A reduction
that is not wanted at once waits for the first sweep that reads its operands anyway: batch norm's backward
reads x for the statistics, then x and dy for all sums of dy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compiler.clusters import Cluster, leaves_behind
from symgraph.dimension import product
from symgraph.graph import Node
from symgraph.op import Kind

# Work worth keeping in memory rather than doing again in a later sweep.
EXPENSIVE = frozenset({
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "pow", "divide", "sqrt", "rsqrt",
    "gelu_erf", "gelu_tanh", "silu", "softplus", "elu", "selu", "random_uniform", "take", "floor_divide",
    "remainder",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the domain.

    statistics: nodes of a row (or column) to compute before it, from earlier sweeps' reductions.
    compute: nodes to compute at each element, in order. stores: those to store; reductions: to accumulate.
    """

    statistics: tuple[Node, ...]
    compute: tuple[Node, ...]
    stores: tuple[Node, ...]
    reductions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Sweeps:
    """All sweeps, and the nodes whose values one sweep leaves in memory for a later one."""

    sweeps: tuple[Sweep, ...]
    final: tuple[Node, ...]  # statistics that are ready only after the last sweep
    spilled: tuple[Node, ...]
    level: dict[Node, int]


def plan_sweeps(cluster: Cluster, crossing: frozenset[Node], *, waiting: bool = False) -> Sweeps:
    """Assign every node to the sweep that computes it. `crossing` reductions end outside the rows.

    With `waiting`, for sweeps of memory and not of a cache, reductions wait for others' operands.
    """
    level = _levels(cluster, _delays(cluster) if waiting else {})
    full = {n for n in cluster.nodes if cluster.covers(n)}
    last = max((level[n] for n in cluster.nodes if n in full), default=-1)
    last = max([last, *(level[r] - 1 for r in cluster.reductions)])
    spilled = _spilled(cluster, level, full)
    kept = set(cluster.stored) | set(spilled)
    own = [n for n in cluster.nodes if n not in full and n not in crossing]
    sweeps = tuple(_sweep(cluster, number, level, full, kept, own) for number in range(last + 1))
    final = tuple(n for n in own if level[n] > last)
    return Sweeps(sweeps, final, spilled, level)


def _levels(cluster: Cluster, delays: Mapping[Node, int]) -> dict[Node, int]:
    """How many sweeps must end before a node's value exists; `delays` are sweeps that reductions wait for."""
    level: dict[Node, int] = {}
    for node in cluster.nodes:
        below = max((level[leaf] for leaf in members_read(cluster, node)), default=0)
        reduces = node.op.kind is Kind.REDUCTION
        level[node] = max(below, delays.get(node, 0)) + reduces
    return level


def members_read(cluster: Cluster, node: Node) -> list[Node]:
    """The nodes of the cluster behind a node's operands."""
    return [leaf for i in node.inputs for leaf in leaves_behind(i) if leaf in cluster.labels]


def _delays(cluster: Cluster) -> dict[Node, int]:
    """The sweep that a reduction waits for: the first that reads all it reads, for what is due then."""
    level = _levels(cluster, {})
    due = _due(cluster, level)
    swept: dict[int, set[Node]] = {}
    for node in cluster.nodes:
        reduces = node.op.kind is Kind.REDUCTION
        if due[node] == level[node] if reduces else node in cluster.stored and cluster.covers(node):
            swept.setdefault(level[node] - reduces, set()).update(_arrays_read(cluster, node))
    delays = {}
    for reduction in cluster.reductions:
        sweeps = range(level[reduction] - 1, due[reduction])
        read = _arrays_read(cluster, reduction)
        delays[reduction] = next((s for s in sweeps if read <= swept.get(s, set())), sweeps[0])
    return delays


def _due(cluster: Cluster, level: Mapping[Node, int]) -> dict[Node, int]:
    """The sweep that first wants a node's value: where it is stored, or an operand of what is due then."""
    last = max(level.values())
    due = {node: max(last, 1) for node in cluster.nodes}
    for node in reversed(cluster.nodes):
        if node in cluster.stored and cluster.covers(node):
            due[node] = level[node]
        sweep = due[node] if node.op.kind is not Kind.REDUCTION else level[node] - 1
        for leaf in members_read(cluster, node):
            due[leaf] = min(due[leaf], sweep)
    return due


def _arrays_read(cluster: Cluster, node: Node) -> set[Node]:
    """The values in memory, as large as the domain, that a node is made from."""
    size = product(cluster.domain)
    found: set[Node] = set()
    stack, seen = [node], {node}
    while stack:
        leaves = {leaf for operand in stack.pop().inputs for leaf in leaves_behind(operand)} - seen
        seen |= leaves
        stack.extend(leaf for leaf in leaves if leaf in cluster.labels and cluster.covers(leaf))
        found.update(leaf for leaf in leaves if leaf not in cluster.labels and leaf.type.size == size)
    return found


def _sweep(
    cluster: Cluster, number: int, level: dict[Node, int], full: set[Node], kept: set[Node], own: list[Node]
) -> Sweep:
    stores = tuple(n for n in cluster.nodes if n in full and n in kept and level[n] == number)
    reductions = tuple(r for r in cluster.reductions if level[r] == number + 1)
    wanted = set(stores)
    stack: list[Node] = list(stores)
    stack.extend(leaf for r in reductions for leaf in leaves_behind(r.inputs[0]))
    while stack:
        node = stack.pop()
        if node not in full:
            continue
        wanted.add(node)
        if node in kept and level[node] < number:
            continue  # it is in memory already
        for operand in node.inputs:
            stack.extend(x for x in leaves_behind(operand) if x in full and x not in wanted)
    compute = tuple(n for n in cluster.nodes if n in wanted)
    statistics = tuple(n for n in own if level[n] == number)
    return Sweep(statistics, compute, stores, reductions)


def _spilled(cluster: Cluster, level: dict[Node, int], full: set[Node]) -> tuple[Node, ...]:
    """Expensive values that a later sweep needs again and that are not stored anyway."""
    found: dict[Node, None] = {}
    for node in cluster.nodes:
        later = level[node] - (node.op.kind is Kind.REDUCTION)
        stack = [leaf for i in node.inputs for leaf in leaves_behind(i) if leaf in full]
        seen = set(stack)
        while stack:
            leaf = stack.pop()
            if leaf in cluster.stored and level[leaf] < later:
                continue
            if level[leaf] < later and leaf.op.name in EXPENSIVE:
                found[leaf] = None
                continue
            for operand in leaf.inputs:
                more = [x for x in leaves_behind(operand) if x in full and x not in seen]
                seen.update(more)
                stack.extend(more)
    return tuple(n for n in cluster.nodes if n in found)
