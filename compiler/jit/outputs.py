"""Memory for large outputs: huge pages, aligned for streaming stores, used again once nobody holds the array.

A fresh 16 MB array costs several milliseconds of page faults, more than the kernel that fills it.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading

import numpy as np

from compiler.jit.workspace import allocate
from symgraph.types import DType, TensorType

LARGE = 4 * 1024 * 1024  # bytes from which an output is worth pages of its own
LARGEST_IDLE = 512 * 1024 * 1024  # bytes kept although nobody holds their arrays
# The list, the loop's variable and getrefcount's own argument.
IDLE_REFERENCES = 3

_pages: list[mmap.mmap] = []
_lock = threading.Lock()


def _renew_lock() -> None:
    """In the child of a fork the lock may be held by a thread that is not there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def empty(name: str, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """An uninitialized array, in pages of its own if it is large. Raises WorkspaceError."""
    count = int(np.prod(shape, dtype=np.int64))
    size = count * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    with _lock:
        pages = _idle(size)
        if pages is None:
            pages = allocate(name, size)
            _pages.append(pages)
        # The array refers to its pages as long as it, or a view of it, lives.
        return np.frombuffer(pages, dtype, count).reshape(shape)


def is_large(output: TensorType) -> bool:
    """Whether every array of this type is."""
    return isinstance(output.bytes, int) and output.bytes >= LARGE


def _idle(size: int) -> mmap.mmap | None:
    """Pages that no array refers to, not much larger than needed; drops what is too much to keep."""
    found: mmap.mmap | None = None
    kept = 0
    for pages in list(_pages):
        if sys.getrefcount(pages) > IDLE_REFERENCES + 1:  # and the copied list's
            continue
        if found is None and size <= len(pages) <= 2 * size:
            found = pages
            continue
        kept += len(pages)
        if kept > LARGEST_IDLE:
            _pages.remove(pages)
    return found
