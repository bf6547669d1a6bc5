"""What all compiled functions of a process share: the thread pool and the free lists of workspaces."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as once

from compiler.jit import cache
from compiler.llvm.engine import LOCK, Library
from compiler.llvm.runtime_pool import MOST_THREADS, has_pool, runtime_text
from compiler.llvm.target import Target

SYMBOLS = ("sg_setup", "sg_reset", "sg_parallel", "sg_push", "sg_pop")


@dataclass(frozen=True, slots=True)
class Runtime:
    """`parallel` is the address of sg_parallel, 0 where there are no pool's threads.

    `push` and `pop` keep the GIL while they run.
    """

    library: Library
    parallel: int
    push: Callable[[int, int], None]
    pop: Callable[[int], int | None]


def runtime() -> Runtime:
    """The runtime of this process, compiled at the first call."""
    with LOCK:
        return _runtime()


@once
def _runtime() -> Runtime:
    target = Target.host()
    code, _ = cache.compiled(lambda: runtime_text(target.triple), target, cache=True)
    library = Library(code, SYMBOLS)
    # Workers may be anywhere in it when the interpreter exits.
    library.keep_forever()
    address = library.addresses
    parallel = _start_pool(library) if has_pool(target.triple) else 0
    push = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address["sg_push"])
    pop = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address["sg_pop"])
    return Runtime(library, parallel, push, pop)


def _start_pool(library: Library) -> int:
    process = ctypes.CDLL(None)
    functions = ("pthread_create", "pthread_detach", "pthread_sigmask", "syscall", "clock_gettime")
    addresses = [ctypes.cast(getattr(process, name), ctypes.c_void_p) for name in functions]
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(library.addresses["sg_setup"])(*addresses)
    reset = ctypes.CFUNCTYPE(None)(library.addresses["sg_reset"])
    os.register_at_fork(after_in_child=reset)
    return library.addresses["sg_parallel"]


def thread_count(threads: int | None) -> int:
    """How many threads a function uses: `threads`, else SYMGRAPH_THREADS, else all cores we may run on.

    Never more than there are cores: threads that wait for each other's core make every loop slower.
    Raises ValueError for less than one or no number.
    """
    most = min(available_cores(), MOST_THREADS)
    if threads is None:
        text = os.environ.get("SYMGRAPH_THREADS", "").strip()
        if not text:
            return most
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"SYMGRAPH_THREADS must be a number of threads, 1 or more, not {text!r}")
        threads = int(text)
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be 1 or more, or None for all cores, not {threads!r}")
    return min(threads, most)


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
