"""The C header of an exported model: C99 and C++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.abi import (
    ABI_VERSION,
    C_TYPES,
    MESSAGES,
    WORKSPACE_ALIGNMENT,
    parameter_names,
)
from compiler.program import Argument, Program
from symgraph.types import SHORT_NAMES

LONGEST_NAME_IN_COMMENT = 80

TEMPLATE = """\
/* {file}: the model {model}, compiled by symgraph {version} for {target}, cpu {cpu}.
 *
 * Self-contained: no allocation, no global state, no library. Functions may be called from several threads
 * at once, each with a workspace and outputs of its own. Arrays are dense and row-major; they must not
 * overlap. The model's sha256 is {sha256}.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_ABI {abi}
#define {upper}_WORKSPACE_ALIGN {alignment}
{macros}

{codes}

typedef struct {{
    const char *name;
    const char *type;           /* such as "f32[batch, 64]" */
    const int64_t *shape;       /* -1 for an extent that depends on named dimensions */
    int32_t rank;
    int32_t element_bytes;
}} {name}_array_t;

typedef struct {{
    size_t struct_size;         /* grows when fields are added at the end */
    int32_t abi;
    int32_t workspace_align;
    const char *version;
    const char *target;
    const char *cpu;
    const char *sha256;
    const {name}_array_t *inputs;
    const {name}_array_t *outputs;
    const char *const *dims;
    int32_t input_count;
    int32_t output_count;
    int32_t dim_count;
    int32_t has_context;
}} {name}_info_t;

/* Bytes of workspace that a run needs; SIZE_MAX where a dimension is out of range. */
size_t {name}_workspace_bytes({dims});

/* Runs the model. Returns {upper}_OK or one of the codes above, and then has written nothing.
{arguments}
 * The workspace is aligned to {upper}_WORKSPACE_ALIGN; its contents do not matter.
 * An array without elements, and a workspace of no bytes, may be NULL.
 */
int32_t {name}_run({parameters});

/* What a code means; never NULL. */
const char *{name}_strerror(int32_t code);

/* The model's description; constant. */
const {name}_info_t *{name}_info(void);

/* Runs a stored case and compares; wants {upper}_SELFTEST_WORKSPACE_BYTES. {upper}_OK: it agrees. */
int32_t {name}_selftest(void *workspace, size_t workspace_bytes);

#ifdef __cplusplus
}}
#endif

#endif
"""


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the header says besides the program's shapes. Bytes: of the workspaces of run and selftest;
    `workspace_bytes` is None where it depends on named dimensions."""

    name: str
    version: str
    target: str
    cpu: str
    sha256: str
    workspace_bytes: int | None
    selftest_bytes: int


def header_text(program: Program, facts: HeaderFacts) -> str:
    """The header's text, ASCII whatever the names are."""
    names = parameter_names([a.name for a in program.inputs], [a.name for a in program.outputs], program.dims)
    arrays = [*program.inputs, *program.outputs]
    upper = facts.name.upper()
    return TEMPLATE.format(
        file=f"{facts.name}.h",
        model=comment(program.name),
        name=facts.name,
        upper=upper,
        version=comment(facts.version),
        target=comment(facts.target),
        cpu=comment(facts.cpu),
        sha256=facts.sha256,
        abi=ABI_VERSION,
        alignment=WORKSPACE_ALIGNMENT,
        macros="\n".join(_macros(upper, facts)),
        codes="\n".join(f"#define {upper}_{code.name} ({int(code)})" for code in MESSAGES),
        dims=", ".join(f"int64_t {name}" for name in names[len(arrays) :]) or "void",
        arguments="\n".join(_documentation(program, names)),
        parameters=", ".join(_parameters(program, names)),
    )


def comment(name: str) -> str:
    """A name as it may stand in a C comment: ASCII, one line, without the marks that end or open one."""
    text = name.encode("ascii", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    text = text.replace("*/", "*\\/").replace("/*", "/\\*").replace("??", "?\\?")
    if len(text) > LONGEST_NAME_IN_COMMENT:
        text = f"{text[:LONGEST_NAME_IN_COMMENT]}..."
    return f'"{text}"'


def _macros(upper: str, facts: HeaderFacts) -> list[str]:
    sizes: Mapping[str, int | None] = {
        "WORKSPACE_BYTES": facts.workspace_bytes,
        "SELFTEST_WORKSPACE_BYTES": facts.selftest_bytes,
    }
    return [f"#define {upper}_{name} ((size_t){size}u)" for name, size in sizes.items() if size is not None]


def _documentation(program: Program, names: Sequence[str]) -> list[str]:
    roles = ["input"] * len(program.inputs) + ["output"] * len(program.outputs)
    arrays = [*program.inputs, *program.outputs]
    lines = [
        f" *   {name}: {role} {comment(argument.name)}, {comment(str(argument.type))}"
        for name, role, argument in zip(names, roles, arrays, strict=False)
    ]
    dims = zip(names[len(arrays) :], program.dims, strict=True)
    return lines + [f" *   {name}: size of dimension {comment(dim)}" for name, dim in dims]


def _parameters(program: Program, names: Sequence[str]) -> list[str]:
    count = len(program.inputs)
    inputs = [f"const {_c_type(a)} *{n}" for a, n in zip(program.inputs, names, strict=False)]
    outputs = [f"{_c_type(a)} *{n}" for a, n in zip(program.outputs, names[count:], strict=False)]
    dims = [f"int64_t {name}" for name in names[count + len(outputs) :]]
    return [*inputs, *outputs, *dims, "void *workspace", "size_t workspace_bytes"]


def _c_type(argument: Argument) -> str:
    return C_TYPES[SHORT_NAMES[argument.type.dtype]]
