"""Parallel lines in a channel: which of them may share a track because they do not overlap."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

CLEARANCE = 8.0


@dataclass(slots=True)
class Channel:
    """Segments along a line, one for each owner; `assign` gives each owner a track from 0."""

    ends: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def add(self, owner: Hashable, a: float, b: float) -> None:
        """Extend the owner's segment to cover a and b."""
        low, high = self.ends.get(owner, (a, a))
        self.ends[owner] = (min(low, a, b), max(high, a, b))

    def assign(self) -> tuple[dict[Hashable, int], int]:
        """The owners' tracks and how many there are: first fit in order of the left ends."""
        tracks: dict[Hashable, int] = {}
        free_from: list[float] = []
        for owner, (low, high) in sorted(self.ends.items(), key=lambda item: item[1]):
            free = (track for track, end in enumerate(free_from) if end + CLEARANCE <= low)
            track = next(free, len(free_from))
            free_from[track : track + 1] = [high]
            tracks[owner] = track
        return tracks, len(free_from)
