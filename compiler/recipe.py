"""From a graph to a program: passes, clusters, kernels, memory plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from compiler import pipeline
from compiler.clusters import Plan
from compiler.grouping import group_steps
from compiler.llvm.target import Target
from compiler.loop.grammar import Kernel
from compiler.loop.math import expand_math
from compiler.lower.cluster import copy_step
from compiler.lower.plan import PlanLowering
from compiler.lower.sizes import share_sizes
from compiler.lower.step import Span, Step, flatten
from compiler.memory import MemoryPlan, plan_memory
from compiler.passes.fuse import fuse
from compiler.program import Argument, Check, Group, Launch, Program, Repeat
from symgraph.dimension import Dim, Extent, at_least
from symgraph.graph import Graph


@dataclass(frozen=True, slots=True)
class Lowered:
    """Everything known of a function before native code is made."""

    stages: tuple[pipeline.Stage, ...]
    plan: Plan
    groups: tuple[tuple[Step, ...], ...]
    memory: MemoryPlan
    program: Program
    seconds: dict[str, float]

    @property
    def graph(self) -> Graph:
        return self.stages[-1].graph

    @property
    def steps(self) -> tuple[Step, ...]:
        """In the order they run; those of one group run at once."""
        return tuple(step for group in self.groups for step in group)

    @property
    def derived(self) -> Graph:
        """The graph with all gradients written out, before anything was rewritten for speed."""
        return derived(self.stages)


def lower(
    stages: tuple[pipeline.Stage, ...],
    interface: Program,
    target: Target,
    *,
    merge: bool,
    few_rows: bool,
) -> Lowered:
    """All steps after the passes, up to the program.

    `few_rows`: products of a named number of rows are made fast for a handful of them too.
    """
    seconds = {stage.name: stage.seconds for stage in stages[1:]}
    start = time.perf_counter()
    graph = stages[-1].graph
    plan = fuse(graph, merge=merge)
    seconds["fuse"] = (fused := time.perf_counter()) - start
    cut = partial(fuse, merge=merge)
    lowering = PlanLowering(interface.dims, target, cut, few_rows)
    groups, spans = _grouped(graph, *_lower_plan(plan, interface.dims, lowering))
    memory = plan_memory(graph, groups, spans)
    program = _program(interface, graph, groups, spans, memory)
    seconds["lower"] = time.perf_counter() - fused
    return Lowered(stages, plan, groups, memory, program, seconds)


def derived(stages: Sequence[pipeline.Stage]) -> Graph:
    """The graph with all gradients written out, before anything was rewritten for speed."""
    return next(stage.graph for stage in stages if stage.name == "derive_gradients")


def _lower_plan(
    plan: Plan, dims: tuple[str, ...], lowering: PlanLowering
) -> tuple[list[Step], tuple[Span, ...]]:
    """Kernels of all clusters in order, then copies of updates that were kept aside; and which repeat."""
    graph = plan.graph
    in_place = {value: state for state, value in graph.updates if value not in plan.deferred}
    steps = lowering.steps(plan, lambda node: in_place.get(node, node))
    maker = {node: cluster for cluster in plan.clusters for node in cluster.stored}
    for state, value in graph.updates:
        if value in plan.deferred:
            steps.append(copy_step(value, state, maker[value], dims))
    flat, spans = flatten(steps)
    return share_kernels(flat), spans


def _grouped(
    graph: Graph, steps: Sequence[Step], spans: Sequence[Span]
) -> tuple[tuple[tuple[Step, ...], ...], tuple[Span, ...]]:
    """Groups of steps that run at once, outside of loops; and the spans of groups that repeat."""
    outer = [s for i, s in enumerate(spans) if not any(o.first <= s.first < o.last for o in spans[i + 1 :])]
    groups: list[tuple[Step, ...]] = []
    place: dict[int, int] = {}
    done = 0
    for span in outer:
        groups += group_steps(graph, steps[done : span.first])
        place.update({n: len(groups) + n - span.first for n in range(span.first, span.last + 1)})
        groups += [(step,) for step in steps[span.first : span.last]]
        done = span.last
    groups += group_steps(graph, steps[done:])
    return tuple(groups), tuple(Span(s.repeat, place[s.first], place[s.last - 1] + 1) for s in spans)


def share_kernels(steps: list[Step]) -> list[Step]:
    """Name kernels so that equal ones are one, and those that are alike but for sizes: k0, k1, and so on."""
    # Clusters that are alike have one kernel object, which is quicker to compare than the kernel.
    different = {id(step.kernel): step.kernel for step in steps}
    sized = share_sizes(dict.fromkeys(different.values()))
    named: dict[Kernel, Kernel] = {}
    for made in sized.values():
        if made.kernel not in named:
            named[made.kernel] = replace(expand_math(made.kernel), name=f"k{len(named)}")
    shared = {number: sized[kernel] for number, kernel in different.items()}
    found = ((step, shared[id(step.kernel)]) for step in steps)
    return [replace(step, kernel=named[made.kernel], sizes=made.sizes) for step, made in found]


def _program(
    interface: Program,
    graph: Graph,
    groups: Sequence[tuple[Step, ...]],
    spans: Sequence[Span],
    memory: MemoryPlan,
) -> Program:
    extents = tuple(Dim.named(d) for d in interface.dims)

    def run(step: Step) -> Launch:
        places = tuple(memory.places[m] for m in step.memories)
        return Launch(step.kernel, places, (*extents, *step.sizes))

    runs = (tuple(map(run, group)) for group in groups)
    return replace(
        interface,
        weights=tuple(Argument(n.name, n.type) for n in memory.weights),
        slots=memory.slots,
        launches=tuple(some[0] if len(some) == 1 else Group(some) for some in runs),
        checks=_checks(graph, groups, memory),
        rows=memory.rows,
        repeats=tuple(Repeat(s.first, s.last, s.repeat.length, s.repeat.reverse) for s in spans),
        extents=tuple(_uncertain(graph)),
    )


def _uncertain(graph: Graph) -> dict[Extent, None]:
    """Extents of a graph's values that may be negative."""
    every = dict.fromkeys(extent for node in graph.nodes for extent in node.type.shape)
    return {extent: None for extent in every if not at_least(extent, 0)}


def _checks(
    graph: Graph, groups: Sequence[Sequence[Step]], memory: MemoryPlan
) -> tuple[Check, ...]:
    """Each check after the last launch that touches its flag."""
    wanted = set(graph.checks)
    touched = ((number, step.memories) for number, group in enumerate(groups) for step in group)
    last = {m: number for number, memories in touched for m in memories if m in wanted}
    return tuple(Check(last[node], memory.places[node]) for node in graph.checks)
