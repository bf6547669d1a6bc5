"""What the machine can do at most, and how long a row's work takes at that rate.

After Williams, Waterman and Patterson 2009: a kernel is bound by its flops at the peak, or by its bytes at
the bandwidth of the memory that its working set lives in, whichever takes longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Level:
    """Bytes per second while the working set fits into `capacity` bytes."""

    name: str
    capacity: int
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """Of one number of threads: flops per second, and levels of memory from the quickest."""

    flops: float
    levels: tuple[Level, ...]

    def level(self, working_set: int) -> Level:
        return next((level for level in self.levels if working_set <= level.capacity), self.levels[-1])

    def seconds(self, flops: int, moved: int, working_set: int) -> float:
        """The least time for so many flops and bytes."""
        return max(flops / self.flops, moved / self.level(working_set).bandwidth)

    def bound_by_memory(self, flops: int, moved: int, working_set: int) -> bool:
        return moved / self.level(working_set).bandwidth > flops / self.flops


def as_dict(roofline: Roofline) -> dict[str, Any]:
    return {"flops": roofline.flops, "levels": [[v.name, v.capacity, v.bandwidth] for v in roofline.levels]}


def from_dict(stored: Mapping[str, Any]) -> Roofline:
    return Roofline(stored["flops"], tuple(Level(*level) for level in stored["levels"]))


@dataclass(frozen=True, slots=True)
class Work:
    """What one call has to do, against the roofline."""

    flops: int
    bytes: int
    bound: float  # seconds, added up over its kernels
    memory_share: float  # of the bound: kernels that memory holds up


def work_of(described: Mapping[str, Any], roofline: Roofline) -> Work:
    """Of what `describe` told of a row."""
    launches: Sequence[Mapping[str, Any]] = described["launches"]
    within = described["working_set"]
    bounds = [(roofline.seconds(k["flops"], k["bytes"], within), k) for k in launches]
    bound = sum(least for least, _ in bounds)
    held = sum(s for s, k in bounds if roofline.bound_by_memory(k["flops"], k["bytes"], within))
    return Work(described["flops"], described["bytes"], bound, held / bound if bound else 0.0)
