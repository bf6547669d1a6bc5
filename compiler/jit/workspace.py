"""Memory for arenas: anonymous pages, huge ones where that pays, kept for the next call."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

import numpy as np

from compiler.abi import WORKSPACE_ALIGNMENT
from symgraph.errors import SymgraphError

HUGE_PAGE = 2 * 1024 * 1024
# In front of each workspace: the link of the free list and the size, see compiler.llvm.entry_state.
HEADER = WORKSPACE_ALIGNMENT


class WorkspaceError(SymgraphError, MemoryError):
    """The arena of a call does not fit into memory."""


class Workspaces:
    """The workspaces of one function, free ones on the list that native code takes them from.

    `push(state, workspace)` and `pop(state)` run under the GIL. There are as many as there were calls at
    the same time.
    """

    def __init__(self, state: np.ndarray, push: Callable[[int, int], None], pop: Callable[[int], int | None]):
        self._state = state.ctypes.data
        self._push, self._pop = push, pop
        # Without a lock, which a fork could leave taken: each use of the dict is one atomic step.
        self._maps: dict[int, mmap.mmap] = {}

    def provide(self, name: str, bytes_needed: int) -> None:
        """Puts a workspace of at least this size on the list; frees those that are too small."""
        address = self.take(name, bytes_needed)
        self.give_back(address)

    def take(self, name: str, bytes_needed: int) -> int:
        """The address of a workspace that nobody else has. Raises WorkspaceError."""
        while (address := self._pop(self._state)) is not None:
            if ctypes.c_int64.from_address(address - HEADER + 8).value >= bytes_needed:
                return address
            self._maps.pop(address).close()
        return self._allocate(name, bytes_needed)

    def give_back(self, address: int) -> None:
        self._push(self._state, address)

    def _allocate(self, name: str, bytes_needed: int) -> int:
        pages = allocate(name, bytes_needed + HEADER)
        address = address_of(pages) + HEADER
        ctypes.c_int64.from_address(address - HEADER + 8).value = len(pages) - HEADER
        self._maps[address] = pages
        return address


def allocate(name: str, size: int) -> mmap.mmap:
    """Zeroed private pages; huge ones for 2 MiB and more. Raises WorkspaceError."""
    unit = HUGE_PAGE if size >= HUGE_PAGE else mmap.PAGESIZE
    try:
        rounded = -(-size // unit) * unit
        pages = mmap.mmap(-1, rounded, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise WorkspaceError(f"{name} needs a workspace of {size:,} bytes: {error}") from error
    if unit == HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def address_of(pages: mmap.mmap) -> int:
    """Where pages begin. They stay there, and mapped, until they are closed."""
    return ctypes.addressof(ctypes.c_char.from_buffer(pages))
