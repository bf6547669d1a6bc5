"""A program made callable: IR, object code, code in memory, function."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import compiler.llvm
from compiler.abi import c_identifier
from compiler.jit import cache as disk
from compiler.jit import outputs
from compiler.jit.arguments import Signature
from compiler.jit.c_call import CRun
from compiler.jit.function import Code, Fallback, NativeFunction
from compiler.jit.identity import program_identity
from compiler.jit.runtime import runtime, thread_count
from compiler.jit.state import Entry, FunctionState, has_fast_entry, new_state, python_function
from compiler.jit.workspace import Workspaces
from compiler.llvm.engine import LOCK, Library
from compiler.llvm.target import Target
from compiler.program import Program
from symgraph.errors import CompileError

if TYPE_CHECKING:
    import compiler.llvm.entry
    import compiler.llvm.entry_kernels


def load(
    program: Program,
    target: Target | None = None,
    weights: Sequence[np.ndarray] = (),
    *,
    threads: int | None = None,
    cache: bool = True,
    lock: threading.Lock | None = None,
    fallback: Fallback | None = None,
) -> NativeFunction:
    """Compiles a program for this machine, or takes it from the cache on disk.

    `weights` are used in place: C-contiguous, of the declared types; the function keeps them alive.
    `threads` as in `thread_count`. A program that updates weights runs under `lock` (its own by default):
    give functions that update the same weights the same one. `fallback` is the same function in numpy, for
    calls with an empty dimension, which native code refuses, and to explain a wrong index.
    Raises CompileError, BackendUnavailable.
    """
    thread_count(threads)  # which refuses wrong numbers before anything is compiled
    host = target or Target.host()
    with LOCK:
        fast = has_fast_entry()
        identity = program_identity(program, fast) if cache else None
        emit = partial(compiler.llvm.entry.emit_program, program, host, python=fast)
        object_code, found = disk.compiled(emit, host, cache, identity)
    code = Code(emit, object_code, host, found)
    updates = compiler.llvm.entry_kernels.updates_weights(program)
    exclusive = (lock or threading.Lock()) if updates else None
    return link(program, code, weights, threads=threads, lock=exclusive, fallback=fallback)


def link(
    program: Program,
    code: Code,
    weights: Sequence[np.ndarray],
    *,
    threads: int | None,
    lock: threading.Lock | None,
    fallback: Fallback | None,
) -> NativeFunction:
    """The function of object code that `load` made of a program like this.

    Of the program only names, types and dimensions are needed. Calls hold the `lock`; None where they may
    run side by side.
    """
    _check_weights(program, weights)
    count = thread_count(threads)
    prefix = c_identifier(program.name)
    exports = ("run", "workspace_bytes", "python") if has_fast_entry() else ("run", "workspace_bytes")
    with LOCK:
        library = Library(code.object_code, [f"{prefix}_{name}" for name in exports])
    shared = runtime()
    state = new_state(count, shared.parallel if count > 1 else 0, weights)
    workspaces = Workspaces(state, shared.push, shared.pop)
    state.owners += (library, workspaces)
    signature = Signature(program.name, program.inputs, program.outputs, program.dims)
    address = library.addresses
    run = CRun(signature, address[f"{prefix}_run"], address[f"{prefix}_workspace_bytes"], state)
    # The native entry makes its outputs itself; large ones come from pages that are used again.
    large = any(outputs.is_large(output.type) for output in program.outputs)
    native = None if large else address.get(f"{prefix}_python")
    entry = _entry(program.name, native, state)
    return NativeFunction(signature, entry, run, workspaces, lock, code, fallback)


def _entry(name: str, address: int | None, state: FunctionState) -> Entry:
    """The native entry; where there is none, one that declines, so that every call takes the long way."""
    return python_function(name, address, state) if address else _decline


def _decline(*arrays: object) -> None:
    """An entry that leaves all to the long way."""


def _check_weights(program: Program, weights: Sequence[np.ndarray]) -> None:
    if len(weights) != len(program.weights):
        raise CompileError(f"{program.name} has {len(program.weights)} weights, got {len(weights)}")
    for argument, array in zip(program.weights, weights, strict=True):
        fits = array.shape == argument.type.shape and array.dtype == argument.type.dtype
        if not (fits and array.flags.c_contiguous and array.flags.aligned):
            raise CompileError(
                f"{program.name}: weight {argument.name!r} must be a C-contiguous {argument.type}, "
                f"got {array.dtype} of shape {array.shape}"
            )
