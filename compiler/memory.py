"""The memory plan: which values live in inputs, outputs and weights, and which share the arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.lower.access import Memory
from compiler.lower.step import Step
from compiler.program import Place, Slot
from symgraph.dimension import Extent, at_least, product
from symgraph.graph import Graph, Node
from symgraph.op import Kind


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A place for every memory the steps touch. `weights` are states and constant arrays, in order."""

    places: dict[Memory, Place]
    weights: tuple[Node, ...]
    slots: tuple[Slot, ...]


def plan_memory(graph: Graph, steps: Sequence[Step]) -> MemoryPlan:
    """Values that never live at the same time share a slot of the arena."""
    places: dict[Memory, Place] = {}
    places.update({node: Place("input", i) for i, node in enumerate(graph.inputs)})
    places.update({node: Place("output", i) for i, node in enumerate(graph.outputs)})
    weights = _weights(graph, steps)
    places.update({node: Place("weight", i) for i, node in enumerate(weights)})
    slots = _share_arena(steps, places)
    return MemoryPlan(places, weights, slots)


def _weights(graph: Graph, steps: Sequence[Step]) -> tuple[Node, ...]:
    inputs = set(graph.inputs)
    sources = (
        memory
        for step in steps
        for memory in step.memories
        if isinstance(memory, Node) and memory.op.kind is Kind.SOURCE and memory not in inputs
    )
    return tuple(dict.fromkeys(sources))


def bytes_of(memory: Memory) -> Extent:
    if isinstance(memory, Node):
        return memory.type.bytes
    return product(memory.shape) * memory.dtype.itemsize


def _share_arena(steps: Sequence[Step], places: dict[Memory, Place]) -> tuple[Slot, ...]:
    """First come, first served, into the free slot that fits best; sizes that cannot be compared do not share."""
    last: dict[Memory, int] = {}
    for number, step in enumerate(steps):
        for memory in step.memories:
            if memory not in places:
                last[memory] = number
    slots: list[list[Extent]] = []
    free: list[int] = []
    taken: dict[Memory, int] = {}
    ending: dict[int, list[Memory]] = {}
    for memory, number in last.items():
        ending.setdefault(number, []).append(memory)
    for number, step in enumerate(steps):
        for memory in dict.fromkeys(step.memories):
            if memory in last and memory not in taken:
                taken[memory] = _take(bytes_of(memory), slots, free)
                places[memory] = Place("arena", taken[memory])
        free.extend(taken[memory] for memory in ending.get(number, ()))
    return tuple(Slot(tuple(dict.fromkeys(sizes))) for sizes in slots)


def _take(size: Extent, slots: list[list[Extent]], free: list[int]) -> int:
    fitting = [s for s in free if at_least(_size(slots[s]), size)]
    growing = [s for s in free if s not in fitting and at_least(size, _size(slots[s]))]
    if fitting:
        chosen = min(fitting, key=lambda s: _rank(_size(slots[s])))
    elif growing:
        chosen = max(growing, key=lambda s: _rank(_size(slots[s])))
    else:
        slots.append([size])
        return len(slots) - 1
    free.remove(chosen)
    if not at_least(_size(slots[chosen]), size):
        slots[chosen].append(size)
    return chosen


def _size(sizes: list[Extent]) -> Extent:
    """The largest: each one that was added is at least as large as those before."""
    return sizes[-1]


def _rank(extent: Extent) -> int:
    """A number to compare sizes by: named dimensions taken as 64."""
    return extent if isinstance(extent, int) else extent.evaluate(dict.fromkeys(extent.names, 64))
