"""Runs one kernel of the loop IR natively, for tests: compile, load, call on numpy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import llvmlite.binding as binding
import numpy as np

from compiler.llvm.emit import emit_kernel
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target
from compiler.loop.grammar import Kernel


def module_text(kernel: Kernel, target: Target) -> tuple[str, bool]:
    """A module with the kernel's functions made visible, and whether it is parallel."""
    code = emit_kernel(kernel, target)
    return "\n".join((*code.declarations, code.text.replace("define internal", "define"))), code.parallel


class Native:
    """A compiled kernel. Call it with its arrays in order and its extents by name."""

    def __init__(self, kernel: Kernel, target: Target | None = None) -> None:
        target = target or Target.host()
        text, self.parallel = module_text(kernel, target)
        self.kernel = kernel
        self.engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _jit_machine(target))
        self.engine.add_object_file(binding.ObjectFileRef.from_data(compile_module(text, target)))
        self.engine.finalize_object()
        extents = [ctypes.c_int64] * len(kernel.extents)
        address = self.engine.get_function_address(kernel.name)
        split = [ctypes.c_int64] * (2 if self.parallel else 0)
        pointers = [ctypes.c_void_p] * len(kernel.buffers)
        self.function = ctypes.CFUNCTYPE(None, *pointers, *extents, *split)(address)
        if self.parallel:
            count = self.engine.get_function_address(f"{kernel.name}_tasks")
            self.tasks = ctypes.CFUNCTYPE(ctypes.c_int64, *extents)(count)

    def __call__(
        self, *arrays: np.ndarray, extents: Mapping[str, int] | None = None, one_by_one: bool = False
    ) -> None:
        """Runs all tasks; `one_by_one` from the last to the first, a call each."""
        assert len(arrays) == len(self.kernel.buffers)
        for array, buffer in zip(arrays, self.kernel.buffers, strict=True):
            assert array.flags.c_contiguous and array.dtype == buffer.dtype, buffer.name
        sizes = [(extents or {})[name] for name in self.kernel.extents]
        pointers = [array.ctypes.data for array in arrays]
        if not self.parallel:
            self.function(*pointers, *sizes)
        elif one_by_one:
            for task in reversed(range(self.tasks(*sizes))):
                self.function(*pointers, *sizes, task, task + 1)
        else:
            self.function(*pointers, *sizes, 0, self.tasks(*sizes))


def _jit_machine(target: Target) -> binding.TargetMachine:
    found = binding.Target.from_triple(target.triple)
    return found.create_target_machine(cpu=target.cpu, features=target.features, opt=3, codemodel="default")
