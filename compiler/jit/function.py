"""A compiled program that is called with numpy arrays."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compiler.abi import Code as Refusal
from compiler.jit.arguments import Signature
from compiler.jit.c_call import CRun, allocate_outputs, code_message, output_shapes, sizes_text
from compiler.jit.state import Entry
from compiler.jit.workspace import Workspaces
from compiler.llvm.engine import LOCK
from compiler.llvm.object import assembly
from compiler.llvm.target import Target
from symgraph.errors import InputError

Result = np.ndarray | tuple[np.ndarray, ...]
# The same function in plain numpy, for calls with an empty dimension and to explain a wrong index.
Fallback = Callable[[Sequence[np.ndarray]], Result]


@dataclass(frozen=True)
class Code:
    """How a function became native: what writes its LLVM text, its object code, whether that came from
    the disk."""

    emit: Callable[[], str]
    object_code: bytes
    target: Target
    from_cache: bool

    @cached_property
    def text(self) -> str:
        """The LLVM text, written when it is asked for."""
        with LOCK:
            return self.emit()

    def assembly(self) -> str:
        with LOCK:
            return assembly(self.text, self.target)


class NativeFunction:
    """`function(*arrays)` returns the one output, or a tuple of several; see compiler.jit.arguments for
    what it takes and the InputError it raises.

    The outputs are fresh arrays at every call. Threads may call it at the same time; a function that
    updates its weights then runs one call after another. `entry` is the native callable below: it returns
    None, with nothing done, for arguments that are not exactly what it reads.
    """

    def __init__(
        self,
        signature: Signature,
        entry: Entry,
        run: CRun,
        workspaces: Workspaces,
        exclusive: threading.Lock | None,
        code: Code,
        fallback: Fallback | None = None,
    ):
        self.signature = signature
        self.code = code
        self.entry = entry
        self._run = run
        self._workspaces = workspaces
        self._exclusive = exclusive
        self._fallback = fallback
        if exclusive is not None:
            _exclusive_functions.add(self)

    def __call__(self, *arrays: object) -> Result:
        if self._exclusive is not None:
            with self._exclusive:
                result = self.entry(*arrays)
                return result if result is not None else self._call_with_care(arrays)
        result = self.entry(*arrays)
        if result is not None:
            return result
        return self._call_with_care(arrays)

    @property
    def direct(self) -> Entry | None:
        """The native entry where a call of it is all that a call needs; where it returns None, call this."""
        return self.entry if self._exclusive is None else None

    def workspace_bytes(self, dims: Mapping[str, int]) -> int:
        """The arena's size for these sizes of the named dimensions; exact."""
        return self._run.workspace_bytes([dims[name] for name in self.signature.dims])

    def _call_with_care(self, values: Sequence[object]) -> Result:
        """Converts and checks the arguments, finds a workspace, and calls again."""
        arrays = self.signature.arrays(values)
        sizes = self.signature.sizes(arrays)
        output_shapes(self.signature, sizes)
        if self._fallback is not None and 0 in sizes.values():
            return self._fallback(arrays)
        needed = self._run.workspace_bytes(list(sizes.values()))
        if needed >= 2**63:
            raise InputError(
                f"{self.signature.name}: {code_message(Refusal.DIMENSION_OUT_OF_RANGE)} ({sizes_text(sizes)})"
            )
        if needed:
            self._workspaces.provide(self.signature.name, needed)
        result = self.entry(*arrays)
        # Where another thread was quicker to take the workspace, or something unforeseen declines.
        return self._call_plainly(arrays, sizes, needed) if result is None else result

    def _call_plainly(self, arrays: Sequence[np.ndarray], sizes: dict[str, int], needed: int) -> Result:
        """Through the C interface, with a workspace of this call's own."""
        name = self.signature.name
        outputs = allocate_outputs(self.signature, sizes)
        workspace = self._workspaces.take(name, needed) if needed else 0
        try:
            code = self._run([*arrays, *outputs], list(sizes.values()), workspace, needed)
        finally:
            if workspace:
                self._workspaces.give_back(workspace)
        if code == Refusal.INDEX_OUT_OF_RANGE and self._fallback is not None:
            self._fallback(arrays)  # which says what is wrong, and where
        if code:
            raise InputError(f"{name}: {code_message(code)} ({sizes_text(sizes)})")
        return outputs[0] if len(outputs) == 1 else outputs

    def replace_lock(self, locks: dict[int, threading.Lock]) -> None:
        """For the child of a fork, where the lock may be held by a thread that is not there."""
        self._exclusive = locks.setdefault(id(self._exclusive), threading.Lock())


_exclusive_functions: weakref.WeakSet[NativeFunction] = weakref.WeakSet()


def _replace_locks() -> None:
    locks: dict[int, threading.Lock] = {}
    for function in list(_exclusive_functions):
        function.replace_lock(locks)


os.register_at_fork(after_in_child=_replace_locks)
