"""A step: one kernel with the memory it runs on. What lowering gives to the memory plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.clusters import Cluster
from compiler.loop.grammar import Kernel
from compiler.loop.walk import written_buffers
from compiler.lower.access import Memory, Row
from symgraph.dimension import Extent


@dataclass(frozen=True, slots=True)
class Step:
    """`memories[i]` is what the kernel's buffer i lives in. `cluster` is what it was made from.

    The kernel's extents are the program's named dimensions, then `sizes`.
    """

    kernel: Kernel
    memories: tuple[Memory, ...]
    cluster: Cluster
    sizes: tuple[int, ...] = ()

    @property
    def written(self) -> set[Memory]:
        """The memory that the kernel stores into."""
        names = written_buffers(self.kernel)
        pairs = zip(self.kernel.buffers, self.memories, strict=True)
        return {memory for buffer, memory in pairs if buffer.name in names}


@dataclass(frozen=True, slots=True)
class Repeat:
    """Steps that run `length` times; rows of loop `number` move with them, from the last if `reverse`."""

    number: int
    length: Extent
    reverse: bool
    steps: tuple[Step | Repeat, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The steps [first, last) of a flat list, repeated."""

    repeat: Repeat
    first: int
    last: int


def flatten(steps: Sequence[Step | Repeat]) -> tuple[list[Step], tuple[Span, ...]]:
    """All steps in order, and which of them are repeated: inner loops before those around them."""
    flat: list[Step] = []
    spans: list[Span] = []
    for item in steps:
        if isinstance(item, Step):
            flat.append(item)
            continue
        first = len(flat)
        inner, within = flatten(item.steps)
        spans += [Span(s.repeat, s.first + first, s.last + first) for s in within]
        flat += inner
        spans.append(Span(item, first, len(flat)))
    return flat, tuple(spans)


def memories_of(steps: Sequence[Step | Repeat]) -> Iterator[Memory]:
    """Every memory that steps touch, and what rows are rows of; bases before their rows."""
    for step in flatten(steps)[0]:
        for memory in step.memories:
            yield from with_bases(memory)


def with_bases(memory: Memory) -> Iterator[Memory]:
    """A memory behind what it is a row of."""
    if isinstance(memory, Row):
        for base in memory.bases:
            yield from with_bases(base)
    yield memory
