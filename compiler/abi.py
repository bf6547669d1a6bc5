"""The C interface of a compiled program: its names, its codes and the layout of its description.

Shared by the builders of LLVM text, the writer of C headers and the loader of shared libraries.

    int32_t NAME_run(inputs..., outputs..., dims..., void *workspace, size_t workspace_bytes);

A program whose weights stay outside (what the JIT calls, and exported training) takes one more argument
before the workspace, `void *context`, a struct of int64_t threads, a function pointer `parallel` (NULL:
loops run serially) and one pointer for each weight.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Iterable, Sequence
from enum import IntEnum

from symgraph.types import SHORT_NAMES, DType

ABI_VERSION = 1
WORKSPACE_ALIGNMENT = 64
LONGEST_IDENTIFIER = 63


class Code(IntEnum):
    """What NAME_run and NAME_selftest return."""

    OK = 0
    NULL_POINTER = -1
    MISALIGNED = -2
    WORKSPACE_TOO_SMALL = -3
    DIMENSION_OUT_OF_RANGE = -4
    WEIGHTS_MISMATCH = -5
    CPU_LACKS_FEATURE = -6
    SELFTEST_FAILED = -7
    ABI_MISMATCH = -8
    INDEX_OUT_OF_RANGE = -9


MESSAGES = {
    Code.OK: "ok",
    Code.NULL_POINTER: "an argument is a null pointer",
    Code.MISALIGNED: "an argument is misaligned: the workspace wants 64 bytes, arrays their element's size",
    Code.WORKSPACE_TOO_SMALL: "the workspace is too small: ask workspace_bytes for its size",
    Code.DIMENSION_OUT_OF_RANGE: (
        "a dimension is less than 1 or than a window over it, or so large that sizes overflow"
    ),
    Code.WEIGHTS_MISMATCH: "the weights do not belong to this program",
    Code.CPU_LACKS_FEATURE: "the CPU lacks a feature this code was compiled for",
    Code.SELFTEST_FAILED: "the self-test gave wrong numbers",
    Code.ABI_MISMATCH: "the library was made for another version of this interface",
    Code.INDEX_OUT_OF_RANGE: "an index or label in the inputs lies outside its range",
}
UNKNOWN_CODE = "unknown code"

C_TYPES = {"f32": "float", "f64": "double", "i32": "int32_t", "i64": "int64_t", "bool": "uint8_t"}
DTYPE_OF_NAME: dict[str, DType] = {name: dtype for dtype, name in SHORT_NAMES.items()}

# Words of C and C++ that cannot name a parameter, and names that headers define.
KEYWORDS = frozenset(re.findall(r"\w+", """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
compl concept const const_cast consteval constexpr constinit continue co_await co_return co_yield decltype
default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline
int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
register reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast
struct switch template this thread_local throw true try typedef typeid typename typeof typeof_unqual union
unsigned using virtual void volatile wchar_t while xor xor_eq linux unix errno main NULL int8_t int16_t
int32_t int64_t uint8_t uint16_t uint32_t uint64_t size_t ptrdiff_t intptr_t uintptr_t
"""))


def c_identifier(name: str) -> str:
    """A C and C++ identifier that resembles `name`: ASCII, no keyword, 1 to 63 characters.

    Different names may give the same identifier; see `unique_identifiers`.
    """
    text = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or "unnamed"
    if text[0].isdigit():
        text = f"n{text}"
    if len(text) > LONGEST_IDENTIFIER:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        text = f"{text[: LONGEST_IDENTIFIER - 9]}_{digest}"
    return f"{text}_" if text in KEYWORDS else text


def unique_identifiers(names: Iterable[str], reserved: Iterable[str] = ()) -> tuple[str, ...]:
    """C identifiers for names, all different from each other and from `reserved`, in order."""
    taken = set(reserved)
    result = []
    for name in names:
        stem = candidate = c_identifier(name)
        number = 2
        while candidate in taken:
            candidate = f"{stem}_{number}"
            number += 1
        taken.add(candidate)
        result.append(candidate)
    return tuple(result)


def parameter_names(inputs: Sequence[str], outputs: Sequence[str], dims: Sequence[str]) -> tuple[str, ...]:
    """Identifiers for the arguments of NAME_run before the workspace, in call order.

    Names all in capitals get a lower-case end: a macro of the including program might bear them.
    """
    names = (f"{n}_array" if n.isupper() and len(n) > 1 else n for n in (*inputs, *outputs, *dims))
    return unique_identifiers(names, reserved=("context", "workspace", "workspace_bytes"))


class ArrayInfo(ctypes.Structure):
    """One input or output: `type` reads like "f32[batch, 64]"; `shape` holds -1 for named extents."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int32),
        ("element_bytes", ctypes.c_int32),
    )


class ModelInfo(ctypes.Structure):
    """What NAME_info points to. `struct_size` grows when fields are added at the end."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("abi", ctypes.c_int32),
        ("workspace_align", ctypes.c_int32),
        ("version", ctypes.c_char_p),
        ("target", ctypes.c_char_p),
        ("cpu", ctypes.c_char_p),
        ("sha256", ctypes.c_char_p),
        ("inputs", ctypes.POINTER(ArrayInfo)),
        ("outputs", ctypes.POINTER(ArrayInfo)),
        ("dims", ctypes.POINTER(ctypes.c_char_p)),
        ("input_count", ctypes.c_int32),
        ("output_count", ctypes.c_int32),
        ("dim_count", ctypes.c_int32),
        ("has_context", ctypes.c_int32),
    )
