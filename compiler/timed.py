"""A launch with its time: what profiles are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timed:
    """One launch: median seconds, and the flops and bytes of memory that it needs for them.

    `line` is the user's line that it ends with, `source` its text; `parameters` are the names of those that
    it touches.
    """

    kernel: str
    title: str
    line: str
    seconds: float
    flops: int
    bytes: int
    source: str = ""
    parameters: tuple[str, ...] = ()

    @property
    def gflops(self) -> float:
        """GFLOP/s that it reached."""
        return 1e-9 * self.flops / self.seconds if self.seconds else 0.0

    @property
    def gigabytes(self) -> float:
        """GB/s that it reached."""
        return 1e-9 * self.bytes / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        rates = f"{self.gflops:7.1f} GFLOP/s {self.gigabytes:6.1f} GB/s"
        return f"{self.seconds * 1e6:10.1f} us {rates}  {self.kernel:5} {self.title}  ({self.line})"
