"""The memory plan: which values live in inputs, outputs and weights, and which share the arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.lower.access import Memory
from compiler.lower.step import Step
from compiler.program import Place, Slot
from symgraph.dimension import Extent, at_least, is_positive, product, typical
from symgraph.graph import Graph, Node
from symgraph.op import Kind

WIDEST = 8  # bytes of the largest element type
WASTE = 4  # how many times as large as a value a slot may be that it shares


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A place for every memory the steps touch. `weights` are states and constant arrays, in order."""

    places: dict[Memory, Place]
    weights: tuple[Node, ...]
    slots: tuple[Slot, ...]


def plan_memory(graph: Graph, groups: Sequence[Sequence[Step]]) -> MemoryPlan:
    """Values that never live at the same time share a slot of the arena. Steps of one group run at once."""
    places: dict[Memory, Place] = {}
    places.update({node: Place("input", i) for i, node in enumerate(graph.inputs)})
    places.update({node: Place("output", i) for i, node in enumerate(graph.outputs)})
    weights = _weights(graph, [step for group in groups for step in group])
    places.update({node: Place("weight", i) for i, node in enumerate(weights)})
    slots = _share_arena([[m for step in group for m in step.memories] for group in groups], places)
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


def _share_arena(touched: Sequence[Sequence[Memory]], places: dict[Memory, Place]) -> tuple[Slot, ...]:
    """First come, first served, into the free slot that fits best. What cannot be compared does not share."""
    last: dict[Memory, int] = {}
    for number, memories in enumerate(touched):
        for memory in memories:
            if memory not in places:
                last[memory] = number
    arena = _Arena()
    taken: dict[Memory, int] = {}
    ending: dict[int, list[Memory]] = {}
    for memory, number in last.items():
        ending.setdefault(number, []).append(memory)
    for number, memories in enumerate(touched):
        for memory in dict.fromkeys(memories):
            if memory in last and memory not in taken:
                taken[memory] = arena.take(bytes_of(memory))
                places[memory] = Place("arena", taken[memory])
        for memory in ending.get(number, ()):
            arena.give_back(taken[memory])
    return tuple(_slot(sizes) for sizes in arena.slots)


def _slot(sizes: Sequence[Extent]) -> Slot:
    """Never of size 0: a pad or a concat may read an element of an empty value, and throw it away."""
    empty = () if all(is_positive(s) for s in sizes) else (WIDEST,)
    return Slot(tuple(dict.fromkeys((*sizes, *empty))))


class _Arena:
    """Slots, each with the sizes it was taken for: every one at least as large as those before."""

    def __init__(self) -> None:
        self.slots: list[list[Extent]] = []
        # Free slots by size: a deep network has thousands of slots, but few sizes.
        self._free: dict[Extent, list[int]] = {}

    def take(self, size: Extent) -> int:
        """The smallest free slot that is large enough, else the largest that can grow, else a new one.

        One that is much too large is left for what needs it.
        """
        if self._free.get(size):
            return self._free[size].pop()
        known = [s for s, numbers in self._free.items() if numbers]
        fitting = [s for s in known if at_least(s, size) and typical(s) <= WASTE * typical(size)]
        if fitting:
            return self._free[min(fitting, key=typical)].pop()
        growing = [s for s in known if at_least(size, s)]
        number = self._free[max(growing, key=typical)].pop() if growing else len(self.slots)
        if not growing:
            self.slots.append([])
        self.slots[number].append(size)
        return number

    def give_back(self, number: int) -> None:
        self._free.setdefault(self.slots[number][-1], []).append(number)
