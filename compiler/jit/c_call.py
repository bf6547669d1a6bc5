"""Calling the C interface of a compiled program, in memory or in a shared library, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np

from compiler.abi import MESSAGES, UNKNOWN_CODE, Code
from compiler.jit import outputs
from compiler.jit.arguments import Signature
from compiler.jit.state import FunctionState, context_address
from symgraph.dimension import evaluate
from symgraph.errors import InputError


class CRun:
    """NAME_run and NAME_workspace_bytes through ctypes. `owner` keeps the code and the context alive."""

    def __init__(self, signature: Signature, run: int, workspace_bytes: int, owner: FunctionState | None):
        count = len(signature.inputs) + len(signature.outputs)
        dims = [ctypes.c_int64] * len(signature.dims)
        context = [] if owner is None else [ctypes.c_void_p]
        kinds = [*[ctypes.c_void_p] * count, *dims, *context, ctypes.c_void_p, ctypes.c_size_t]
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(run)
        self.workspace = ctypes.CFUNCTYPE(ctypes.c_size_t, *dims)(workspace_bytes)
        self._owner = owner

    def __call__(
        self, arrays: Sequence[np.ndarray], dims: Sequence[int], workspace: int, workspace_bytes: int
    ) -> int:
        context = [] if self._owner is None else [context_address(self._owner)]
        addresses = [array.ctypes.data for array in arrays]
        return self._run(*addresses, *dims, *context, workspace, workspace_bytes)

    def workspace_bytes(self, dims: Sequence[int]) -> int:
        return self.workspace(*dims)


def allocate_outputs(signature: Signature, sizes: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    """Uninitialized arrays. Raises InputError where a size comes out negative."""
    shapes = output_shapes(signature, sizes)
    pairs = zip(shapes, signature.outputs, strict=True)
    return tuple(outputs.empty(signature.name, s, o.type.dtype) for s, o in pairs)


def output_shapes(signature: Signature, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
    """The shapes of the outputs. Raises InputError where a size comes out negative."""
    shapes = []
    for output in signature.outputs:
        shape = tuple(evaluate(extent, sizes) for extent in output.type.shape)
        if min(shape, default=0) < 0:
            raise InputError(
                f"{signature.name}: output {output.name!r}: {output.type} would have shape {shape} "
                f"({sizes_text(sizes)})"
            )
        shapes.append(shape)
    return shapes


def code_message(code: int) -> str:
    return MESSAGES.get(Code(code), UNKNOWN_CODE) if code in set(Code) else f"{UNKNOWN_CODE} {code}"


def sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "no named dimensions"
