"""How often a fused nest goes over its domain, and what happens in each sweep.

A reduction's result exists only after a whole sweep, so what reads it belongs to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.clusters import Cluster, leaves_behind
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


def plan_sweeps(cluster: Cluster, crossing: frozenset[Node]) -> Sweeps:
    """Assign every node to the sweep that computes it. `crossing` reductions end outside the rows."""
    level = _levels(cluster)
    full = {n for n in cluster.nodes if cluster.covers(n)}
    last = max((level[n] for n in cluster.nodes if n in full), default=-1)
    last = max([last, *(level[r] - 1 for r in cluster.reductions)])
    spilled = _spilled(cluster, level, full)
    kept = set(cluster.stored) | set(spilled)
    own = [n for n in cluster.nodes if n not in full and n not in crossing]
    sweeps = tuple(_sweep(cluster, number, level, full, kept, own) for number in range(last + 1))
    final = tuple(n for n in own if level[n] > last)
    return Sweeps(sweeps, final, spilled, level)


def _levels(cluster: Cluster) -> dict[Node, int]:
    level: dict[Node, int] = {}
    for node in cluster.nodes:
        below = [level[leaf] for i in node.inputs for leaf in leaves_behind(i) if leaf in cluster.labels]
        level[node] = max(below, default=0) + (node.op.kind is Kind.REDUCTION)
    return level


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
