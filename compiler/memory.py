"""The memory plan: which values live in inputs, outputs and weights, and which share the arena."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler import program
from compiler.lower.access import Memory, Row
from compiler.lower.step import Span, Step, with_bases
from compiler.program import Place, Slot
from symgraph.dimension import Extent, at_least, is_positive, product, typical
from symgraph.graph import Graph, Node
from symgraph.op import Kind

WIDEST = 8  # bytes of the largest element type
WASTE = 4  # how many times as large as a value a slot may be that it shares


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A place for every memory the steps touch. `weights` are states and constant arrays, in order.

    The loops of rows are numbered as the spans are.
    """

    places: dict[Memory, Place]
    weights: tuple[Node, ...]
    slots: tuple[Slot, ...]
    rows: tuple[program.Row, ...] = ()


def plan_memory(
    graph: Graph, groups: Sequence[Sequence[Step]], spans: Sequence[Span] = ()
) -> MemoryPlan:
    """Values that never live at the same time share a slot of the arena.

    Steps of one group run at once; spans are those of groups.
    """
    touched = [
        [m for step in group for memory in step.memories for m in with_bases(memory)] for group in groups
    ]
    places: dict[Memory, Place] = {}
    places.update({node: Place("input", i) for i, node in enumerate(graph.inputs)})
    places.update({node: Place("output", i) for i, node in enumerate(graph.outputs)})
    weights = _weights(graph, touched)
    places.update({node: Place("weight", i) for i, node in enumerate(weights)})
    slots = _share_arena(_lives(touched, spans, places), places)
    rows = _rows(touched, spans, places)
    return MemoryPlan(places, weights, slots, rows)


def _rows(
    touched: Sequence[Sequence[Memory]], spans: Sequence[Span], places: dict[Memory, Place]
) -> tuple[program.Row, ...]:
    """Rows as the program has them, and a place for each."""
    numbers = {span.repeat.number: i for i, span in enumerate(spans)}
    rows: list[program.Row] = []
    for memory in dict.fromkeys(m for memories in touched for m in memories):
        if isinstance(memory, Row):
            places[memory] = Place("row", len(rows))
            bases = tuple(places[base] for base in memory.bases)
            repeat = None if memory.loop is None else numbers[memory.loop]
            rows.append(program.Row(bases, memory.offset, memory.stride, repeat))
    return tuple(rows)


def _lives(
    touched: Sequence[Sequence[Memory]], spans: Sequence[Span], places: dict[Memory, Place]
) -> dict[Memory, tuple[int, int]]:
    """The first and last group that needs each memory of the arena, in order of the first.

    What lies in moving rows of a loop, or is touched outside of it too, is needed in all its steps.
    """
    lives: dict[Memory, tuple[int, int]] = {}
    for number, memories in enumerate(touched):
        for memory in memories:
            if memory not in places and not isinstance(memory, Row):
                lives[memory] = (lives.get(memory, (number, 0))[0], number)
    for span in spans:
        inside = [m for memories in touched[span.first : span.last] for m in memories]
        moving = (m for m in inside if isinstance(m, Row) and m.loop == span.repeat.number)
        held = {base for row in moving for base in with_bases(row)}
        for memory in dict.fromkeys(m for m in inside if m in lives):
            first, last = lives[memory]
            if memory in held or first < span.first or last >= span.last:
                lives[memory] = (min(first, span.first), max(last, span.last - 1))
    return dict(sorted(lives.items(), key=lambda item: item[1][0]))


def _weights(graph: Graph, touched: Sequence[Sequence[Memory]]) -> tuple[Node, ...]:
    inputs = set(graph.inputs)
    sources = (
        memory
        for memories in touched
        for memory in memories
        if isinstance(memory, Node) and memory.op.kind is Kind.SOURCE and memory not in inputs
    )
    return tuple(dict.fromkeys(sources))


def bytes_of(memory: Memory) -> Extent:
    """Of a row of the memory it lies in: none of its own."""
    if isinstance(memory, Row):
        return 0
    if isinstance(memory, Node):
        return memory.type.bytes
    return product(memory.shape) * memory.dtype.itemsize


def _share_arena(
    lives: Mapping[Memory, tuple[int, int]], places: dict[Memory, Place]
) -> tuple[Slot, ...]:
    """First come, first served, into the free slot that fits best. What cannot be compared does not share."""
    arena = _Arena()
    ending: list[tuple[int, int, int]] = []  # the last group that needs a slot, in what order it was taken
    for order, (memory, (first, last)) in enumerate(lives.items()):
        while ending and ending[0][0] < first:
            arena.give_back(heapq.heappop(ending)[2])
        number = arena.take(bytes_of(memory))
        places[memory] = Place("arena", number)
        heapq.heappush(ending, (last, order, number))
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
