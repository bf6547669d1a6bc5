"""Loading object code into this process: LLVM's LLJIT as a linker and nothing more."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import threading
from collections.abc import Sequence
from functools import cache

import llvmlite
import llvmlite.binding as binding

from compiler.llvm.target import Target
from symgraph.errors import BackendUnavailable, CompileError

PR_GET_MDWE = 66
# LLVM turns some loops into calls of these; the process has them.
LIBRARY_FUNCTIONS = ("memcpy", "memmove", "memset")

# One compile at a time: LLVM objects are shared, and a fork must not happen in the middle of one.
LOCK = threading.RLock()
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)

_numbers = itertools.count()


def versions() -> str:
    """What object code depends on besides its IR and its target."""
    return f"llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, binding.llvm_version_info))}"


class Library:
    """Object code in memory. Its addresses are valid while it lives."""

    def __init__(self, object_code: bytes, exports: Sequence[str]):
        """Raises CompileError for an undefined symbol, BackendUnavailable without executable memory."""
        builder = binding.JITLibraryBuilder().add_object_img(object_code)
        for name in exports:
            builder.export_symbol(name)
        for name, address in _library_functions().items():
            builder.import_symbol(name, address)
        with LOCK:
            engine = _engine()
            try:
                self._tracker = builder.link(engine, f"library{next(_numbers)}")
            except RuntimeError as error:
                raise CompileError(f"LLVM cannot link the object code: {error}") from error
        self.addresses: dict[str, int] = {name: self._tracker[name] for name in exports}

    def keep_forever(self) -> None:
        """Leaves the code in place even at interpreter exit, when threads may still run in it."""
        self._tracker.detach()


@cache
def _engine() -> binding.LLJIT:
    _probe_executable_memory()
    # Inline assembly in IR needs the parser.
    binding.initialize_native_asmparser()
    host = Target.host()
    target = binding.Target.from_triple(host.triple)
    machine = target.create_target_machine(host.cpu, host.features, reloc="pic", codemodel="default")
    return binding.create_lljit_compiler(machine, use_jit_link=True)


@cache
def _library_functions() -> dict[str, int]:
    process = ctypes.CDLL(None)
    return {
        name: ctypes.cast(getattr(process, name), ctypes.c_void_p).value or 0 for name in LIBRARY_FUNCTIONS
    }


def _probe_executable_memory() -> None:
    """Does what the linker will do, make a written page executable; LLVM would crash where it may not."""
    process = ctypes.CDLL(None, use_errno=True)
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    anchor = ctypes.c_char.from_buffer(page)
    address = ctypes.c_void_p(ctypes.addressof(anchor))
    refused = process.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC)
    error = ctypes.get_errno()
    process.mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE)
    del anchor
    page.close()
    if refused:
        forbidden = process.prctl(PR_GET_MDWE, 0, 0, 0, 0) > 0
        cause = "prctl(PR_SET_MDWE) forbids it" if forbidden else os.strerror(error)
        raise BackendUnavailable(
            f"this process may not make memory executable: {cause}. Compiled functions need it; "
            f"the eager mode does not"
        )
