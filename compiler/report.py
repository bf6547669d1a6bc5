"""What a compiled function can tell of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from compiler.clusters import Cluster, Form, Plan, leaves_behind
from compiler.driver import Compiled
from compiler.loop.printer import text as kernel_text
from compiler.loop.walk import called_functions
from compiler.lower.step import Step
from compiler.passes.fit import refusal
from compiler.passes.materialize_results import copy
from compiler.pipeline import Stage
from compiler.program import Program
from compiler.traffic import traffic
from symgraph.dimension import Extent, product
from symgraph.eager import Parameter
from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.ops.normalize import standardize_over
from symgraph.words import counted, duration


@dataclass(frozen=True, slots=True)
class KernelLine:
    """One launch: its kernel's name, what was fused into it, the user's lines, bytes moved and flops.

    `reasons` say why it is a kernel of its own and not part of one that it reads from. `runs` is how many
    runs of the kernel, which do not depend on each other, the launch consists of. `source` is the text of the
    last line, `parameters` are the names of those that it reads or writes, in order of first use. Bytes and
    flops are of all runs and, in a loop, of all its rounds.
    """

    kernel: str
    title: str
    lines: tuple[str, ...]
    bytes: Extent
    flops: Extent
    reasons: tuple[str, ...]
    runs: int
    source: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """`str(report)` is a table; the fields are its figures."""

    name: str
    launches: tuple[KernelLine, ...]
    kernels: int
    arena: Extent
    object_bytes: int
    seconds: dict[str, float]
    from_cache: bool
    notes: tuple[str, ...]
    _compiled: Compiled
    _graph_text: Callable[[Graph], str]

    def text(self, stage: str) -> str:
        """A stage of the compilation as text."""
        lowered = self._compiled.lowered
        for known in lowered.stages:
            if known.name == stage:
                return self._graph_text(known.graph)
        if stage == "clusters":
            return str(self)
        if stage == "kernels":
            return "\n\n".join(kernel_text(k) for k in lowered.program.kernels)
        return self._compiled.native.code.text if stage == "llvm" else self._compiled.native.code.assembly()

    def __str__(self) -> str:
        head = (
            f"{self.name}: {counted(len(self.launches), 'launch', 'launches')} of "
            f"{counted(self.kernels, 'kernel')}, arena {self.arena} bytes, "
            f"{counted(self.object_bytes, 'byte')} of code{' (from the cache)' if self.from_cache else ''}"
        )
        rows = [
            f"  {line.kernel:5} {line.title}{f' (in {line.runs} runs)' if line.runs > 1 else ''}\n"
            f"        {line.bytes} bytes, {line.flops} flops; {', '.join(line.lines)}"
            + "".join(f"\n        {reason}" for reason in line.reasons)
            for line in self.launches
        ]
        times = ", ".join(f"{name} {duration(s)}" for name, s in self.seconds.items() if s > 5e-5)
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join([head, *rows, *notes, f"  compile time: {times}"])


def report_of(compiled: Compiled, graph_text: Callable[[Graph], str]) -> Report:
    lowered = compiled.lowered
    main, moved = _main_steps(lowered.steps), traffic(lowered.steps)
    launches = tuple(
        _line(group, main, moved, _trips(lowered.program, number))
        for number, group in enumerate(lowered.groups)
    )
    arena = _sum(slot.sizes[-1] for slot in lowered.program.slots)
    return Report(
        name=lowered.program.name,
        launches=launches,
        kernels=len(lowered.program.kernels),
        arena=arena,
        object_bytes=len(compiled.native.code.object_code),
        seconds=compiled.seconds,
        from_cache=compiled.native.code.from_cache,
        notes=(*dropped_biases(lowered.stages), *kept_aside(lowered.plan)),
        _compiled=compiled,
        _graph_text=graph_text,
    )


def _trips(program: Program, launch: int) -> Extent:
    """How often a call runs a launch: the lengths of the loops around it."""
    return product(r.length for r in program.repeats if r.first <= launch < r.last)


def _line(
    group: Sequence[Step], main: set[int], moved: Mapping[int, Extent], trips: Extent
) -> KernelLine:
    clusters = [step.cluster for step in group]
    busy = [step.cluster for step in group if id(step) in main]
    return KernelLine(
        group[0].kernel.name,
        "|".join(dict.fromkeys(cluster.title() for cluster in clusters)),
        tuple(dict.fromkeys(str(n.location) for c in clusters for n in c.nodes))[:4],
        trips * _sum(moved[id(step)] for step in group),
        trips * _sum(map(flops_of, busy)),
        tuple(dict.fromkeys(reason for cluster in busy for reason in reasons_of(cluster))),
        len(group),
        clusters[-1].nodes[-1].location.source,
        tuple(dict.fromkeys(name for cluster in clusters for name in _parameters(cluster))),
    )


def _parameters(cluster: Cluster) -> Iterable[str]:
    leaves = (leaf for node in cluster.nodes for i in node.inputs for leaf in leaves_behind(i))
    return (leaf.attrs["state"].name for leaf in leaves if isinstance(leaf.attrs.get("state"), Parameter))


def reasons_of(cluster: Cluster) -> tuple[str, ...]:
    """Why a cluster does not belong to one that it reads from."""
    first = cluster.nodes[0]
    return tuple(dict.fromkeys(refusal(other, first, circle) for other, circle in cluster.refused))


def dropped_biases(stages: Sequence[Stage]) -> list[str]:
    """What the user should know of parameters that learn nothing."""
    graphs = [stage.graph for stage in stages if stage.name == "drop_removed_bias"]
    found = []
    for node in graphs[0].nodes if graphs else ():
        origin = node.origin
        if origin is None or origin.maker != "drop_removed_bias" or node.op is not standardize_over.op:
            continue
        added = origin.node.inputs[0].inputs
        names = [leaf.name for i in added for leaf in leaves_behind(i) if "state" in leaf.attrs]
        found.append(
            f"{', '.join(names)} has no effect: the normalization at {node.location} subtracts it again"
        )
    return found


def kept_aside(plan: Plan) -> list[str]:
    """Updates that cost a copy."""
    return [
        f"the new value of {state.name} is copied: its old one is read after the new one is made"
        for state, value in plan.graph.updates
        if value in plan.deferred
    ]


def _main_steps(steps: Sequence[Step]) -> set[int]:
    """The ids of the steps that do their cluster's arithmetic: the others pack operands or add up parts."""
    found: dict[int, Step] = {}
    for step in steps:
        known = found.setdefault(id(step.cluster), step)
        if step.cluster.form is Form.CONTRACTION and (_multiplies(step) or not _multiplies(known)):
            found[id(step.cluster)] = step
    return {id(step) for step in found.values()}


def _multiplies(step: Step) -> bool:
    """Whether its kernel has the multiply-adds of a product: what packs and what adds up parts has not."""
    return "fma" in called_functions(step.kernel)


def flops_of(cluster: Cluster) -> Extent:
    """Arithmetic operations: one for each element of an elementwise op, each element that is reduced or
    added to a place, each tap of a window; two a multiply-add. What only moves data counts nothing."""
    return _sum(_flops(node) for node in cluster.nodes)


def _flops(node: Node) -> Extent:
    kind, size = node.op.kind, node.type.size
    if kind is Kind.CONTRACTION:
        return 2 * size * _depth(node)
    if kind is Kind.REDUCTION:
        return node.inputs[0].type.size
    if kind is Kind.SCATTER:
        return node.inputs[0].type.size
    if kind is Kind.WINDOW:
        return size * product(node.attrs["size"])
    return size if kind in (Kind.ELEMENTWISE, Kind.RANDOM) and node.op is not copy.op else 0


def _depth(node: Node) -> Extent:
    """How many products each result of a contraction is the sum of: all of the second operand but its last
    axis, unless the op's declaration says otherwise."""
    types = [operand.type for operand in node.inputs]
    return node.op.body(*types, **node.attrs) if node.op.body else product(types[1].shape[:-1])


def _sum(values: Iterable[Extent]) -> Extent:
    total: Extent = 0
    for value in values:
        total = total + value
    return total
