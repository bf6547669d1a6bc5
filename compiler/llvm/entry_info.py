"""NAME_info and NAME_strerror as LLVM text; the structs are those of compiler.abi."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.abi import ABI_VERSION, MESSAGES, UNKNOWN_CODE, WORKSPACE_ALIGNMENT
from compiler.llvm.entry_launch import ATTRIBUTES
from compiler.llvm.entry_run import Interface
from compiler.llvm.runtime_text import Writer, text_constant
from compiler.llvm.target import Target
from compiler.program import Argument

ARRAY_INFO = "{ ptr, ptr, ptr, i32, i32 }"


def emit_strerror(name: str) -> str:
    """`ptr NAME_strerror(i32)`: a message for every code, never null."""
    writer = Writer()
    labels = {code: writer.label("message") for code in MESSAGES}
    cases = " ".join(f"i32 {int(code)}, label %{label}" for code, label in labels.items())
    writer.line(f"switch i32 %code, label %unknown [ {cases} ]")
    texts = []
    for number, (code, label) in enumerate(labels.items()):
        texts.append(text_constant(f"{name}_message_{number}", MESSAGES[code]))
        writer.block(label)
        writer.line(f"ret ptr @{name}_message_{number}")
    texts.append(text_constant(f"{name}_message_unknown", UNKNOWN_CODE))
    writer.block("unknown")
    writer.line(f"ret ptr @{name}_message_unknown")
    return "".join([*texts, writer.function(f"define ptr @{name}_strerror(i32 %code) {ATTRIBUTES}")])


def emit_info(interface: Interface, target: Target, version: str, sha256: str) -> str:
    """`ptr NAME_info()` and the constants it points to."""
    name, program = interface.name, interface.program
    texts = {"version": version, "target": target.triple, "cpu": target.cpu, "sha256": sha256}
    parts = [text_constant(f"{name}_info_{key}", text) for key, text in texts.items()]
    parts += _arrays(f"{name}_info_input", program.inputs)
    parts += _arrays(f"{name}_info_output", program.outputs)
    dims = [f"{name}_info_dim_{i}" for i in range(len(program.dims))]
    parts += [text_constant(symbol, dim) for symbol, dim in zip(dims, program.dims, strict=True)]
    parts.append(_table(f"{name}_info_dims", "ptr", [f"ptr @{symbol}" for symbol in dims]))
    counts = (len(program.inputs), len(program.outputs), len(program.dims), int(interface.external))
    pointers = [*texts, "inputs", "outputs", "dims"]
    types = [interface.size, "i32", "i32", *["ptr"] * len(pointers), *["i32"] * len(counts)]
    struct = f"{{ {', '.join(types)} }}"
    struct_size = f"ptrtoint (ptr getelementptr ({struct}, ptr null, i32 1) to {interface.size})"
    values = [struct_size, str(ABI_VERSION), str(WORKSPACE_ALIGNMENT)]
    values += [*(f"@{name}_info_{pointer}" for pointer in pointers), *map(str, counts)]
    fields = ", ".join(f"{kind} {value}" for kind, value in zip(types, values, strict=True))
    parts.append(f"@{name}_info_data = internal constant {struct} {{ {fields} }}\n")
    parts.append(f"define ptr @{name}_info() {ATTRIBUTES} {{\n  ret ptr @{name}_info_data\n}}\n")
    return "".join(parts)


def _arrays(stem: str, arguments: Sequence[Argument]) -> list[str]:
    """The table `stem`s of ArrayInfo and what its rows point to."""
    parts, rows = [], []
    for number, argument in enumerate(arguments):
        symbol = f"{stem}_{number}"
        extents = [f"i64 {extent if isinstance(extent, int) else -1}" for extent in argument.type.shape]
        parts.append(text_constant(f"{symbol}_name", argument.name))
        parts.append(text_constant(f"{symbol}_type", str(argument.type)))
        parts.append(_table(f"{symbol}_shape", "i64", extents))
        numbers = f"i32 {argument.type.rank}, i32 {argument.type.dtype.itemsize}"
        pointers = f"ptr @{symbol}_name, ptr @{symbol}_type, ptr @{symbol}_shape"
        rows.append(f"{ARRAY_INFO} {{ {pointers}, {numbers} }}")
    return [*parts, _table(f"{stem}s", ARRAY_INFO, rows)]


def _table(symbol: str, kind: str, rows: Sequence[str]) -> str:
    """A constant array; one of no rows has an address all the same."""
    return f"@{symbol} = internal constant [{len(rows)} x {kind}] [{', '.join(rows)}]\n"
