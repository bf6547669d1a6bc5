"""Which steps run together: steps of one kernel that do not depend on each other become one launch.

A step waits for later ones of its kernel as long as nothing needs what it does; when something does, later
steps of the kernel that could run at once come along. An optimizer's updates thus meet at the end. What
waits keeps its operands in the arena and what comes early takes room there, so that is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from compiler.loop.walk import written_buffers
from compiler.lower.access import Memory
from compiler.lower.step import Step
from compiler.memory import bytes_of
from symgraph.dimension import typical
from symgraph.graph import Graph, Node
from symgraph.op import Kind

# What grouping may add to the most bytes of constant size that are alive at once. Memory of named sizes may
# not grow at all. As much stays in the second cache, so that what waited is still near: with four times as
# much the training step of an MLP of 535,000 parameters took about 1 percent longer on one thread.
MOST_HELD = 2**18
# The ends of the members' tasks are a table on the stack.
MOST_MEMBERS = 1024

Bytes = tuple[int, int]  # of constant size, and of named dimensions (each taken as 64)


def group_steps(graph: Graph, steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
    """All steps, in an order that gives each the same values; those in one tuple may run at once."""
    schedule = _Schedule(steps, _Dependences(graph, steps), _Usage(graph, steps))
    return tuple(tuple(steps[number] for number in group) for group in schedule.run())


class _Dependences:
    """Which steps must come before which, by what they read and write.

    Checks come before changes of states.
    """

    def __init__(self, graph: Graph, steps: Sequence[Step]):
        self.before: list[set[int]] = [set() for _ in steps]
        self.after: list[list[int]] = [[] for _ in steps]
        writers: dict[Memory, int] = {}
        readers: dict[Memory, list[int]] = {}
        written: dict[int, set[str]] = {}
        states = {state for state, _ in graph.updates}
        flags: dict[Node, int] = {}
        for number, step in enumerate(steps):
            kernel = step.kernel
            if id(kernel) not in written:
                written[id(kernel)] = written_buffers(kernel)
            names = written[id(kernel)]
            own = {m for b, m in zip(kernel.buffers, step.memories, strict=True) if b.name in names}
            before = {writers[m] for m in step.memories if m in writers}
            for memory in own:
                before.update(readers.get(memory, ()))
            if own & states:
                before.update(flags.values())
            self.before[number] = before - {number}
            for memory in step.memories:
                readers.setdefault(memory, []).append(number)
            for memory in own:
                writers[memory], readers[memory] = number, []
            flags.update((m, number) for m in graph.checks if m in step.memories)
        for number, before in enumerate(self.before):
            for other in before:
                self.after[other].append(number)


class _Usage:
    """The bytes of the arena that are alive at each step while nothing waits, and the most there may be."""

    def __init__(self, graph: Graph, steps: Sequence[Step]):
        results = set(graph.outputs)
        self._sizes: dict[Memory, tuple[int, int]] = {}
        self.first: dict[Memory, int] = {}
        last: dict[Memory, int] = {}
        for number, step in enumerate(steps):
            for memory in step.memories:
                source = isinstance(memory, Node) and memory.op.kind is Kind.SOURCE
                if not source and memory not in results:
                    self.first.setdefault(memory, number)
                    last[memory] = number
        change = [[0] * (len(steps) + 1) for _ in range(2)]
        for memory, start in self.first.items():
            pool, size = self._sized(memory)
            change[pool][start] += size
            change[pool][last[memory] + 1] -= size
        self.live: list[Bytes] = []
        fixed = named = 0
        for number in range(len(steps) + 1):
            fixed, named = fixed + change[0][number], named + change[1][number]
            self.live.append((fixed, named))
        most = [max((bytes_[pool] for bytes_ in self.live), default=0) for pool in range(2)]
        self.most: Bytes = (most[0] + MOST_HELD, most[1])

    def held(self, number: int, step: Step) -> list[Memory]:
        """What the arena cannot use again while the step waits."""
        return [m for m in step.memories if self.first.get(m, number) < number]

    def early(self, number: int, step: Step) -> Bytes:
        """What is taken from the arena too soon when the step runs before its turn."""
        return self.total(m for m in step.memories if self.first.get(m) == number)

    def is_light(self, step: Step, taken: Bytes) -> bool:
        """Whether most of what the step touches is in memory of its own anyway."""
        return 2 * sum(taken) <= sum(self.total(step.memories))

    def total(self, memories: Iterable[Memory]) -> Bytes:
        sums = [0, 0]
        for memory in dict.fromkeys(memories):
            pool, size = self._sized(memory)
            sums[pool] += size
        return sums[0], sums[1]

    def _sized(self, memory: Memory) -> tuple[int, int]:
        """Which of the two kinds of bytes, and how many."""
        if memory not in self._sizes:
            extent = bytes_of(memory)
            self._sizes[memory] = (0 if isinstance(extent, int) else 1), typical(extent)
        return self._sizes[memory]


@dataclass(eq=False, slots=True)
class _Waiting:
    """Steps of one kernel that wait, and the arena's memory that they read.

    `needs` are the groups that must run before them, and those that must run before these.
    """

    members: list[int] = field(default_factory=list)
    needs: set[_Waiting] = field(default_factory=set)
    memories: set[Memory] = field(default_factory=set)
    held: Bytes = (0, 0)


class _Schedule:
    """Takes steps in order: each runs or waits."""

    def __init__(self, steps: Sequence[Step], dependences: _Dependences, usage: _Usage):
        self._steps = steps
        self._dependences = dependences
        self._usage = usage
        self._common = Counter(id(step.kernel) for step in steps)
        self._now = 0
        self._done: set[int] = set()
        self._groups: list[tuple[int, ...]] = []
        self._open: dict[int, _Waiting] = {}
        self._home: dict[int, _Waiting] = {}
        self._missing = [len(before) for before in dependences.before]
        self._ready: dict[int, list[int]] = {}
        self._early: Bytes = (0, 0)
        for number in range(len(steps)):
            self._note_ready(number)

    def run(self) -> list[tuple[int, ...]]:
        for number, step in enumerate(self._steps):
            self._now = number
            if number in self._done:
                self._early = _minus(self._early, self._usage.early(number, step))
                continue
            if self._may_wait(number):
                self._wait(number)
            else:
                self._close(self._needed(number))
                self._emit([number, *self._others(number, MOST_MEMBERS - 1)])
            self._make_room(number + 1)
        self._close(set(self._open.values()))
        return self._groups

    def _may_wait(self, number: int) -> bool:
        """Whether there are others like it, and waiting holds little."""
        step = self._steps[number]
        if self._common[id(step.kernel)] == 1:
            return False
        return self._usage.is_light(step, self._usage.total(self._usage.held(number, step)))

    def _needed(self, number: int) -> set[_Waiting]:
        before = self._dependences.before[number]
        groups = {self._home[other] for other in before if other in self._home}
        return groups.union(*(group.needs for group in groups))

    def _wait(self, number: int) -> None:
        key = id(self._steps[number].kernel)
        own = self._open.get(key)
        if own is not None and (own in self._needed(number) or len(own.members) >= MOST_MEMBERS):
            self._close({own})
        own = self._open.setdefault(key, _Waiting())
        own.members.append(number)
        own.needs |= self._needed(number)
        more = [m for m in self._usage.held(number, self._steps[number]) if m not in own.memories]
        own.memories.update(more)
        own.held = _plus(own.held, self._usage.total(more))
        self._home[number] = own
        for group in self._open.values():
            if own in group.needs:
                group.needs |= own.needs

    def _make_room(self, number: int) -> None:
        """Let those run that hold most, until what waits leaves enough for step `number`."""
        usage = self._usage
        for pool in range(2):
            while True:
                holding = [group for group in self._open.values() if group.held[pool]]
                held = sum(group.held[pool] for group in holding) + self._early[pool]
                if not holding or usage.live[number][pool] + held <= usage.most[pool]:
                    break
                self._close({max(holding, key=lambda group: group.held[pool])})

    def _close(self, groups: set[_Waiting]) -> None:
        """Run what waits in these groups, and before that what they need."""
        wanted = groups.union(*(group.needs for group in groups))
        # What a group needs, needs less than the group itself.
        for group in sorted(wanted, key=lambda g: (len(g.needs), g.members[0])):
            del self._open[id(self._steps[group.members[0]].kernel)]
            for other in self._open.values():
                other.needs.discard(group)
            for number in group.members:
                del self._home[number]
            self._emit([*group.members, *self._others(group.members[0], MOST_MEMBERS - len(group.members))])

    def _others(self, member: int, most: int) -> list[int]:
        """Later steps of the kernel of a member that need only what has run, as many as there is room for."""
        key = id(self._steps[member].kernel)
        held = sum(group.held[0] for group in self._open.values())
        found: list[int] = []
        ready = sorted(n for n in self._ready.get(key, ()) if n > self._now and n not in self._done)
        for number in ready:
            early = self._usage.early(number, self._steps[number])
            total = _plus(self._early, early)
            room = held + total[0] <= MOST_HELD and not early[1] and len(found) < most
            if room and self._usage.is_light(self._steps[number], early):
                found.append(number)
                self._early = total
        self._ready[key] = ready
        return found

    def _emit(self, members: list[int]) -> None:
        self._groups.append(tuple(members))
        self._done.update(members)
        for number in members:
            for other in self._dependences.after[number]:
                self._missing[other] -= 1
                self._note_ready(other)

    def _note_ready(self, number: int) -> None:
        key = id(self._steps[number].kernel)
        if not self._missing[number] and self._common[key] > 1:
            self._ready.setdefault(key, []).append(number)


def _plus(left: Bytes, right: Bytes) -> Bytes:
    return left[0] + right[0], left[1] + right[1]


def _minus(left: Bytes, right: Bytes) -> Bytes:
    return left[0] - right[0], left[1] - right[1]
