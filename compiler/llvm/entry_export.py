"""A program as a module with no run-time and no undefined symbols: weights inside, loops serial."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.abi import Code
from compiler.llvm.entry import emit_kernels, module_text
from compiler.llvm.entry_cpu import BASELINE, checks_cpu, emit_cpu_check
from compiler.llvm.entry_info import emit_info, emit_strerror
from compiler.llvm.entry_launch import ATTRIBUTES
from compiler.llvm.entry_run import Interface, emit_run, emit_workspace_bytes
from compiler.llvm.entry_selftest import Case, emit_selftest
from compiler.llvm.runtime_text import Writer, data_constant
from compiler.llvm.target import Target
from compiler.program import Program


@dataclass(frozen=True, slots=True)
class Export:
    """The LLVM text of an exported model and the hash of what it computes."""

    text: str
    sha256: str


def emit_export(
    program: Program,
    target: Target,
    weights: Sequence[np.ndarray],
    *,
    name: str,
    version: str,
    case: Case,
) -> Export:
    """All of NAME_run, NAME_workspace_bytes, NAME_strerror, NAME_info and NAME_selftest.

    `name` is a C identifier. The hash covers kernels, shapes and weights, not the target's checks.
    """
    interface = Interface(program, name, target.triple, external=False)
    kernels, order, parts, declarations = emit_kernels(interface, target)
    checked = checks_cpu(target)
    symbol = f"{name}_checked_run" if checked else f"{name}_run"
    parts.append(emit_run(interface, kernels, order, symbol, "internal " if checked else ""))
    parts.append(emit_workspace_bytes(interface))
    sha256 = _hash(parts, weights)
    if checked:
        parts += [emit_cpu_check(name, target), _emit_guard(interface, symbol)]
    parts += [emit_strerror(name), emit_info(interface, target, version, sha256)]
    parts.append(emit_selftest(interface, case))
    parts += [data_constant(f"{name}_weight_{i}", array.tobytes()) for i, array in enumerate(weights)]
    # LLVM makes calls of memset and memcpy out of loops unless it is told that there are none.
    text = module_text(parts, declarations).replace(" nounwind noinline ", f" noinline {ATTRIBUTES} ")
    return Export(text, sha256)


def _emit_guard(interface: Interface, symbol: str) -> str:
    """NAME_run for a CPU that may lack features: asks first."""
    writer = Writer()
    lacks = writer.value(f"call i1 @{interface.name}_cpu_lacks()")
    refuse, go = writer.label("refuse"), writer.label("go")
    writer.branch(lacks, refuse, go)
    writer.block(refuse)
    writer.line(f"ret i32 {int(Code.CPU_LACKS_FEATURE)}")
    writer.block(go)
    code = writer.value(f"tail call i32 {interface.signature(symbol)}")
    writer.line(f"ret i32 {code}")
    return writer.function(f"define i32 {interface.signature(f'{interface.name}_run')} {BASELINE}")


def _hash(parts: Sequence[str], weights: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
    for array in weights:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
