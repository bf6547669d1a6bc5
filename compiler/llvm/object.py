"""LLVM text to object code. Text is parsed, verified, optimized and emitted in one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import llvmlite.binding as binding

from compiler.llvm.target import Target
from symgraph.errors import CompileError

Result = TypeVar("Result")


def compile_module(text: str, target: Target) -> bytes:
    """Object code of a module given as LLVM text. Raises CompileError where LLVM rejects it."""
    return _finish(text, target, lambda module: target.machine().emit_object(module))


def assembly(text: str, target: Target) -> str:
    """What `compile_module` makes, as assembly text."""
    return _finish(text, target, lambda module: target.machine().emit_assembly(module))


def _finish(text: str, target: Target, emit: Callable[[binding.ModuleRef], Result]) -> Result:
    # A context of its own: types and metadata of a module die with it.
    context = binding.create_context()
    header = f'target triple = "{target.triple}"\n'
    try:
        module = binding.parse_assembly(header + text, context)
    except RuntimeError as error:
        raise CompileError(f"LLVM rejects the generated module: {error}") from error
    with module:
        module.data_layout = str(target.machine().target_data)
        _verify(module)
        _optimize(module, target)
        return emit(module)


def _verify(module: binding.ModuleRef) -> None:
    try:
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM's verifier rejects the generated module: {error}") from error


def _optimize(module: binding.ModuleRef, target: Target) -> None:
    """Variables into registers, common subexpressions, peepholes, straight control flow.

    Vectors, unrolling and interleaving are chosen here. What else LLVM's function simplification does, at its
    first level already, was measured to change no kernel's speed, at twice the time. Arrays of accumulators
    become registers in the second round, when loops that never run, where they may be indexed, are gone.
    """
    builder = binding.create_pass_builder(target.machine(), binding.create_pipeline_tuning_options())
    with builder, binding.create_new_function_pass_manager() as passes:
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_loop_deletion_pass()
        passes.add_simplify_cfg_pass()
        passes.add_sroa_pass()
        passes.add_new_gvn_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
