"""A program with its weights as files: object, header, static and shared library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import symgraph
from compiler.abi import WORKSPACE_ALIGNMENT, c_identifier
from compiler.aot.archive import archive
from compiler.aot.elf import ElfFile, is_elf64, read_elf
from compiler.aot.files import write_files
from compiler.aot.header import HeaderFacts, header_text
from compiler.aot.shared import shared_library
from compiler.jit.arguments import Signature
from compiler.llvm.engine import LOCK
from compiler.llvm.entry_cpu import portable
from compiler.llvm.entry_export import emit_export
from compiler.llvm.entry_kernels import updates_weights
from compiler.llvm.entry_selftest import LARGEST_ON_STACK, Case
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target
from compiler.program import Program
from symgraph.dimension import evaluate
from symgraph.errors import ExportError

KINDS = ("object", "header", "static", "shared")
SUFFIXES = {"object": "{}.o", "header": "{}.h", "static": "lib{}.a", "shared": "lib{}.so"}


@dataclass(frozen=True, slots=True)
class SelftestCase:
    """What NAME_selftest runs: inputs, and the outputs that are right for them."""

    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Files that `export` wrote, by kind; `name` is the prefix of the C functions."""

    name: str
    paths: Mapping[str, Path]
    sha256: str
    text: str

    def __getitem__(self, kind: str) -> Path:
        return self.paths[kind]


def export(
    program: Program,
    weights: Sequence[np.ndarray],
    directory: str | Path,
    name: str | None = None,
    *,
    kinds: Sequence[str] = KINDS,
    target: Target | None = None,
    selftest_case: SelftestCase | None = None,
) -> Artifact:
    """Writes the program, weights inside, for a target (None: machines like this one) into a directory.

    `name` becomes a C identifier and the prefix of all that is global. Without a case, the self-test runs
    zeros and checks only that the run succeeds. Raises ExportError; then nothing new is in the directory.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ExportError(f"unknown kind {unknown[0]!r}; expected some of {', '.join(KINDS)}")
    if updates_weights(program):
        raise ExportError(f"{program.name} updates its state; a model with embedded weights cannot")
    prefix = c_identifier(name or program.name)
    chosen = portable(Target.host()) if target is None or target == Target.host() else target
    case, sizes = _case(program, selftest_case)
    with LOCK:
        made = emit_export(program, chosen, weights, name=prefix, version=symgraph.__version__, case=case)
        object_code = compile_module(made.text, chosen)
    facts = HeaderFacts(
        name=prefix, version=symgraph.__version__, target=chosen.triple, cpu=chosen.cpu, sha256=made.sha256,
        workspace_bytes=None if program.dims else arena_bytes(program, {}),
        selftest_bytes=_selftest_bytes(program, case, sizes),
    )
    contents = _contents(program, object_code, facts, kinds)
    files = {kind: SUFFIXES[kind].format(prefix) for kind in kinds}
    written = write_files(
        Path(directory),
        {files[kind]: contents[kind]() for kind in kinds},
        executable=frozenset([SUFFIXES["shared"].format(prefix)]),
    )
    return Artifact(prefix, {kind: written[file] for kind, file in files.items()}, made.sha256, made.text)


def arena_bytes(program: Program, sizes: Mapping[str, int]) -> int:
    """What NAME_workspace_bytes returns for these sizes of the named dimensions."""
    largest = (max((evaluate(size, sizes) for size in slot.sizes), default=0) for slot in program.slots)
    return sum(-(-max(size, 0) // WORKSPACE_ALIGNMENT) * WORKSPACE_ALIGNMENT for size in largest)


def _contents(
    program: Program, object_code: bytes, facts: HeaderFacts, kinds: Sequence[str]
) -> dict[str, Callable[[], bytes]]:
    """How each kind of file is made out of the object code."""
    elf = _checked(object_code, facts.name) if is_elf64(object_code) else None
    libraries = [kind for kind in kinds if kind in ("static", "shared")]
    if elf is None and libraries:
        raise ExportError(
            f"a {libraries[0]} library is written for 64-bit ELF targets only, not for {facts.target}; "
            f'use kinds=("object", "header") and a linker of that platform'
        )
    symbols = [symbol.name for symbol in elf.exported] if elf else []
    return {
        "object": lambda: object_code,
        "header": lambda: header_text(program, facts).encode(),
        "static": lambda: archive(SUFFIXES["object"].format(facts.name), object_code, symbols),
        "shared": lambda: shared_library(elf, SUFFIXES["shared"].format(facts.name)) if elf else b"",
    }


def _checked(object_code: bytes, name: str) -> ElfFile:
    """The object, once it is sure to need nothing and to give away only NAME_ symbols."""
    elf = read_elf(object_code)
    if elf.undefined:
        raise ExportError(f"the object code needs {', '.join(elf.undefined)}, which nothing provides")
    foreign = [symbol.name for symbol in elf.exported if not symbol.name.startswith(f"{name}_")]
    if foreign:
        raise ExportError(f"the object code exports {', '.join(foreign)}; expected only {name}_ symbols")
    return elf


def _case(program: Program, given: SelftestCase | None) -> tuple[Case, Mapping[str, int]]:
    """The self-test's arrays, checked against the program, and the sizes of its dimensions."""
    if given is None:
        sizes = dict.fromkeys(program.dims, 1)
        shapes = [[evaluate(e, sizes) for e in a.type.shape] for a in program.inputs]
        inputs = tuple(np.zeros(s, a.type.dtype) for s, a in zip(shapes, program.inputs, strict=True))
    else:
        signature = Signature(program.name, program.inputs, program.outputs, program.dims)
        inputs = signature.arrays(given.inputs)
        sizes = signature.sizes(inputs)
    outputs = tuple(tuple(evaluate(e, sizes) for e in a.type.shape) for a in program.outputs)
    expected = None if given is None else _expected(program, given, outputs)
    return Case(inputs, expected, outputs, sizes), sizes


def _expected(
    program: Program, given: SelftestCase, shapes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, ...]:
    found = tuple(np.require(array, requirements=("C", "A")) for array in given.outputs)
    wanted = [(shape, a.type.dtype) for shape, a in zip(shapes, program.outputs, strict=True)]
    if [(array.shape, array.dtype) for array in found] != wanted:
        raise ExportError(
            f"the self-test's outputs are {[(a.shape, str(a.dtype)) for a in found]}, "
            f"expected {[(shape, str(dtype)) for shape, dtype in wanted]}"
        )
    return found


def _selftest_bytes(program: Program, case: Case, sizes: Mapping[str, int]) -> int:
    """The arena, and the outputs where they are too large for the stack."""
    outputs = sum(case.output_bytes([a.type.dtype for a in program.outputs]))
    return arena_bytes(program, sizes) + (outputs if outputs > LARGEST_ON_STACK else 0)
