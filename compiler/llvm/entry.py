"""A whole program as one LLVM module: its kernels, its C entry points, its Python entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compiler.abi import c_identifier
from compiler.llvm import entry_extents
from compiler.llvm.emit import emit_kernel
from compiler.llvm.entry_kernels import distinct_kernels
from compiler.llvm.entry_launch import NativeKernel
from compiler.llvm.entry_python import emit_python_entry
from compiler.llvm.entry_run import Interface, emit_run, emit_workspace_bytes
from compiler.llvm.target import Target
from compiler.loop.math import expand_math
from compiler.program import Program


def emit_program(
    program: Program, target: Target, *, python: bool = False, timed: bool = False
) -> str:
    """The module the JIT loads: weights stay outside, loops may run on the pool.

    `python` adds NAME_python, the function that CPython calls with numpy arrays. `timed`: see emit_run.
    """
    interface = Interface(program, c_identifier(program.name), target.triple, external=True)
    kernels, order, parts, declarations = emit_kernels(interface, target)
    parts.append(emit_run(interface, kernels, order, f"{interface.name}_run", timed=timed))
    parts.append(emit_workspace_bytes(interface))
    if python:
        parts.append(emit_python_entry(interface))
    return module_text(parts, declarations)


def emit_kernels(
    interface: Interface, target: Target
) -> tuple[list[NativeKernel], tuple[int, ...], list[str], list[str]]:
    """Distinct kernels, the kernel of each launch, their IR, the intrinsics that it declares."""
    kernels, order = distinct_kernels(interface.program)
    native, texts, declarations = [], [], []
    for number, kernel in enumerate(kernels):
        symbol = f"{interface.name}_{number}_{c_identifier(kernel.name)}"
        code = emit_kernel(expand_math(replace(kernel, name=symbol)), target)
        native.append(NativeKernel(symbol, code.parallel, kernel))
        texts.append(code.text)
        declarations += code.declarations
    return native, order, texts, declarations


def module_text(parts: Sequence[str], declarations: Sequence[str]) -> str:
    """Parts, then each declaration once."""
    declared = dict.fromkeys([*entry_extents.DECLARATIONS, *declarations])
    return "\n".join([*parts, *declared, ""])
