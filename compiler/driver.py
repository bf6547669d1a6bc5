"""From a graph to a native function: passes, clusters, kernels, memory plan, code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from compiler import pipeline
from compiler.clusters import Cluster, Plan
from compiler.jit.function import NativeFunction
from compiler.jit.load import load
from compiler.llvm.target import Target
from compiler.loop.grammar import Kernel
from compiler.loop.math import expand_math
from compiler.lower.cluster import copy_step
from compiler.lower.reuse import Lowering
from compiler.lower.step import Step
from compiler.memory import MemoryPlan, plan_memory
from compiler.passes.fuse import fuse
from compiler.program import Argument, Check, Launch, Program
from symgraph import reference
from symgraph.dimension import Dim, names_of
from symgraph.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Options:
    """`skip` names optional passes to leave out; `fuse=False` makes every node a kernel; `frozen` takes
    weights as constants."""

    training: bool = False
    fuse: bool = True
    skip: frozenset[str] = frozenset()
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Lowered:
    """Everything known of a function before native code is made."""

    stages: tuple[pipeline.Stage, ...]
    plan: Plan
    steps: tuple[Step, ...]
    memory: MemoryPlan
    program: Program
    seconds: dict[str, float]

    @property
    def graph(self) -> Graph:
        return self.stages[-1].graph

    @property
    def derived(self) -> Graph:
        """The graph with all gradients written out, before anything was rewritten for speed."""
        return next(stage.graph for stage in self.stages if stage.name == "derive_gradients")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A lowered function and its native code."""

    lowered: Lowered
    native: NativeFunction
    seconds: dict[str, float]


def lower(
    graph: Graph, name: str, output_names: Sequence[str], options: Options, target: Target
) -> Lowered:
    """All steps up to the program, for a target."""
    stages = pipeline.run(
        graph, training=options.training, frozen=options.frozen, skip=options.skip
    )
    seconds = {stage.name: stage.seconds for stage in stages[1:]}
    start = time.perf_counter()
    final = stages[-1].graph
    plan = fuse(final, merge=options.fuse)
    seconds["fuse"] = (fused := time.perf_counter()) - start
    steps = _lower_plan(plan, target)
    memory = plan_memory(final, steps)
    program = _program(name, output_names, final, steps, memory)
    seconds["lower"] = time.perf_counter() - fused
    return Lowered(stages, plan, tuple(steps), memory, program, seconds)


def compile_graph(
    graph: Graph,
    name: str,
    output_names: Sequence[str],
    options: Options,
    *,
    threads: int | None = None,
    lock: Any = None,
) -> Compiled:
    """A native function for this machine."""
    target = Target.host()
    lowered = lower(graph, name, output_names, options, target)
    start = time.perf_counter()
    weights = [weight_array(node) for node in lowered.memory.weights]
    native = load(
        lowered.program,
        target,
        weights,
        threads=threads,
        lock=lock,
        fallback=partial(run_plainly, lowered.derived),
    )
    return Compiled(lowered, native, {**lowered.seconds, "native code": time.perf_counter() - start})


def weight_array(node: Node) -> np.ndarray:
    """The memory of a state, in place; a constant's own array."""
    state = node.attrs.get("state")
    return state.data if state is not None else np.ascontiguousarray(node.attrs["value"])


def _check(node: Node, steps: Sequence[Step], memory: MemoryPlan) -> Check:
    last = max(number for number, step in enumerate(steps) if node in step.memories)
    return Check(last, memory.places[node])


def run_plainly(graph: Graph, arrays: Sequence[np.ndarray]) -> Any:
    """One call in numpy, states updated too: for empty dimensions, and to explain what is wrong."""
    values = reference.run(graph, arrays)
    outputs = tuple(np.array(v) for v in values[: len(graph.outputs)])
    news = [v.copy() for v in values[len(graph.outputs) : len(graph.outputs) + len(graph.updates)]]
    for (state, _), new in zip(graph.updates, news, strict=True):
        state.attrs["state"].data[...] = new
    return outputs[0] if len(outputs) == 1 else outputs


def dims_of(graph: Graph) -> tuple[str, ...]:
    """Named dimensions in order of first appearance in the inputs."""
    return names_of(e for node in graph.inputs for e in node.type.shape)


def _lower_plan(plan: Plan, target: Target) -> list[Step]:
    """Kernels of all clusters in order, then copies of updates that had to be kept aside."""
    graph = plan.graph
    in_place = {value: state for state, value in graph.updates if value not in plan.deferred}
    dims = dims_of(graph)
    lowering = Lowering(lambda node: in_place.get(node, node), dims, target)
    steps: list[Step] = []
    maker: dict[Node, Cluster] = {}
    for cluster in plan.clusters:
        steps.extend(lowering.steps(cluster))
        maker.update(dict.fromkeys(cluster.stored, cluster))
    for state, value in graph.updates:
        if value in plan.deferred:
            steps.append(copy_step(value, state, maker[value], dims))
    return share_kernels(steps)


def share_kernels(steps: list[Step]) -> list[Step]:
    """Name kernels so that equal ones are one: k0, k1, ... in order of first use."""
    known: dict[Kernel, Kernel] = {}
    # Clusters that are alike have one kernel object, which is quicker to compare than the kernel.
    named: dict[int, Kernel] = {}
    for step in steps:
        if id(step.kernel) not in named:
            if step.kernel not in known:
                expanded = expand_math(step.kernel)
                known[step.kernel] = replace(expanded, name=f"k{len(known)}")
            named[id(step.kernel)] = known[step.kernel]
    return [replace(step, kernel=named[id(step.kernel)]) for step in steps]


def _program(
    name: str, output_names: Sequence[str], graph: Graph, steps: Sequence[Step], memory: MemoryPlan
) -> Program:
    dims = dims_of(graph)
    extents = tuple(Dim.named(d) for d in dims)
    return Program(
        name=name,
        inputs=tuple(Argument(n.name, n.type) for n in graph.inputs),
        outputs=tuple(
            Argument(label, n.type) for label, n in zip(output_names, graph.outputs, strict=True)
        ),
        weights=tuple(Argument(n.name, n.type) for n in memory.weights),
        dims=dims,
        slots=memory.slots,
        launches=tuple(
            Launch(s.kernel, tuple(memory.places[m] for m in s.memories), extents) for s in steps
        ),
        checks=tuple(_check(node, steps, memory) for node in graph.checks),
    )


