"""A step: one kernel with the memory it runs on. What lowering gives to the memory plan."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.clusters import Cluster
from compiler.loop.grammar import Kernel
from compiler.lower.access import Memory


@dataclass(frozen=True, slots=True)
class Step:
    """`memories[i]` is what the kernel's buffer i lives in. `cluster` is what it was made from.

    The kernel's extents are the program's named dimensions, then `sizes`.
    """

    kernel: Kernel
    memories: tuple[Memory, ...]
    cluster: Cluster
    sizes: tuple[int, ...] = ()
