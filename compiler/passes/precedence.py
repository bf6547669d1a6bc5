"""What must come before what: a directed acyclic graph that grows, with an order kept valid all the time.

The order is repaired locally when a link contradicts it (Pearce and Kelly 2006, "A dynamic topological sort
algorithm for directed acyclic graphs"), so that questions need to look only at what lies between two points.
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
        self._position = sorted(range(len(order)), key=order.__getitem__)

    def add(self) -> int:
        """A new point, after all others in the order."""
        self._earlier.append({})
        self._later.append({})
        self._position.append(len(self._position))
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
        """Put `earlier`, and what it needs, in front of `later` and what needs that, in the same places."""
        position = self._position
        low, high = position[later], position[earlier]
        forward = _reached(later, self._later, lambda p: position[p] <= high)
        backward = _reached(earlier, self._earlier, lambda p: position[p] >= low)
        moved = [*sorted(backward, key=position.__getitem__), *sorted(forward, key=position.__getitem__)]
        for point, place in zip(moved, sorted(position[p] for p in moved), strict=True):
            position[point] = place


def _reached(start: int, links: list[dict[int, None]], within: Callable[[int], bool]) -> list[int]:
    found = {start: None}
    stack = [start]
    while stack:
        for point in links[stack.pop()]:
            if point not in found and within(point):
                found[point] = None
                stack.append(point)
    return list(found)
