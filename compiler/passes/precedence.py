"""What must come before what: a directed acyclic graph that grows, with an order kept valid all the time.

The order is repaired locally when a link contradicts it (after Pearce and Kelly 2006, "A dynamic topological
sort algorithm for directed acyclic graphs"), so that questions look only at what lies between two points.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

# A question that takes more steps than this is answered with yes, which only forbids a fusion.
MOST_STEPS = 4096


class Precedence:
    """Points are numbers from 0. Links go from an earlier to a later point."""

    def __init__(self, order: Sequence[int] = ()):
        """Points in this order at first: it holds each number below its length once."""
        self._earlier: list[dict[int, None]] = [{} for _ in order]
        self._later: list[dict[int, None]] = [{} for _ in order]
        self._position = [0.0] * len(order)
        self._order = _Order(self._position)
        for point in order:
            self._order.append(point)

    def add(self) -> int:
        """A new point, after all others in the order."""
        self._earlier.append({})
        self._later.append({})
        self._position.append(0.0)
        self._order.append(len(self._position) - 1)
        return len(self._position) - 1

    def link(self, earlier: int, later: int) -> None:
        """From now on `earlier` comes before `later`. The caller has made sure that this makes no cycle."""
        self._earlier[later][earlier] = None
        self._later[earlier][later] = None
        if self._position[earlier] > self._position[later]:
            self._reorder(earlier, later)

    def depends(self, later: int, earlier: int) -> bool:
        """Whether a chain of links leads from `earlier` to `later`; yes also if that is hard to tell."""
        return self._leads(earlier, [later])

    def has_between(self, earlier: int, later: int) -> bool:
        """Whether such a chain goes over a third point; yes also if that is hard to tell."""
        return self._leads(earlier, (p for p in self._earlier[later] if p != earlier))

    def merge(self, kept: int, gone: int) -> None:
        """All links of `gone` become links of `kept`. The caller has made sure that this makes no cycle."""
        before, after = self._earlier[gone], self._later[gone]
        self._earlier[gone], self._later[gone] = {}, {}
        for point in before:
            del self._later[point][gone]
        for point in after:
            del self._earlier[point][gone]
        for point in before:
            if point != kept:
                self.link(point, kept)
        for point in after:
            if point != kept:
                self.link(kept, point)

    def _leads(self, earlier: int, ends: Iterable[int]) -> bool:
        """Backwards from the ends, the earliest first, as far back as `earlier` stands."""
        first = self._position[earlier]
        heap = [(self._position[p], p) for p in ends if self._position[p] > first]
        heapq.heapify(heap)
        seen = {p for _, p in heap}
        while heap:
            _, point = heapq.heappop(heap)
            before = self._earlier[point]
            if earlier in before or len(seen) > MOST_STEPS:
                return True
            for p in before:
                if p not in seen and self._position[p] > first:
                    seen.add(p)
                    heapq.heappush(heap, (self._position[p], p))
        return False

    def _reorder(self, earlier: int, later: int) -> None:
        """Move what `earlier` needs in front of `later`, or what needs `later` behind `earlier`.

        Both are looked for side by side; the smaller set, which is found first, moves.
        """
        position = self._position
        low, high = position[later], position[earlier]
        backward = _Search(earlier, self._earlier, lambda p: position[p] > low)
        forward = _Search(later, self._later, lambda p: position[p] < high)
        while backward.step() and forward.step():
            pass
        if backward.done:
            for point in sorted(backward.found, key=position.__getitem__):
                self._order.move_before(point, later)
        else:
            for point in sorted(forward.found, key=position.__getitem__, reverse=True):
                self._order.move_behind(point, earlier)


class _Search:
    """A walk along links, among points that `within` accepts, one point at a time."""

    def __init__(self, start: int, links: list[dict[int, None]], within: Callable[[int], bool]):
        self.found = {start: None}
        self._links = links
        self._within = within
        self._stack = [start]

    @property
    def done(self) -> bool:
        return not self._stack

    def step(self) -> bool:
        """Go on by one point; whether there is more to do."""
        for point in self._links[self._stack.pop()]:
            if point not in self.found and self._within(point):
                self.found[point] = None
                self._stack.append(point)
        return bool(self._stack)


class _Order:
    """A linked list of points. `position[point]` grows along it."""

    def __init__(self, position: list[float]):
        self._position = position
        self._next: dict[int | None, int | None] = {None: None}
        self._previous: dict[int | None, int | None] = {None: None}

    def append(self, point: int) -> None:
        self._insert(point, self._previous[None], None)

    def move_before(self, point: int, other: int) -> None:
        self._unlink(point)
        self._insert(point, self._previous[other], other)

    def move_behind(self, point: int, other: int) -> None:
        self._unlink(point)
        self._insert(point, other, self._next[other])

    def _unlink(self, point: int) -> None:
        before, after = self._previous[point], self._next[point]
        self._next[before], self._previous[after] = after, before

    def _insert(self, point: int, before: int | None, after: int | None) -> None:
        self._next[before] = self._previous[after] = point
        self._previous[point], self._next[point] = before, after
        low = self._position[before] if before is not None else None
        high = self._position[after] if after is not None else None
        if low is None or high is None:
            self._position[point] = low + 1 if low is not None else high - 1 if high is not None else 0.0
            return
        self._position[point] = (low + high) / 2
        if not low < self._position[point] < high:
            self._renumber()

    def _renumber(self) -> None:
        """Whole numbers again, where halving has used up all that lie between two points."""
        number, point = 0.0, self._next[None]
        while point is not None:
            self._position[point] = number
            number, point = number + 1, self._next[point]
