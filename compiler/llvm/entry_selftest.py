"""NAME_selftest as LLVM text: runs the model on a stored case and compares what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.abi import WORKSPACE_ALIGNMENT, Code
from compiler.llvm.entry_launch import ATTRIBUTES
from compiler.llvm.entry_run import Interface
from compiler.llvm.runtime_text import Writer, data_constant
from symgraph.types import DType, float32, float64

# Outputs of at most this many bytes live on the stack, larger ones behind the arena in the workspace.
LARGEST_ON_STACK = 64 * 1024
# Other CPUs sum in another order and may lack fma: relative to the element and to the largest element.
RELATIVE = {float32: (1e-4, 1e-5), float64: (1e-10, 1e-12)}
IR_TYPES = {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64", "bool": "i8"}


@dataclass(frozen=True, slots=True)
class Case:
    """Inputs, the outputs they must give (None: not compared), the sizes of the named dimensions."""

    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...] | None
    output_shapes: tuple[tuple[int, ...], ...]
    sizes: Mapping[str, int]

    def output_bytes(self, dtypes: Sequence[DType]) -> list[int]:
        """Bytes of each output, rounded up to the workspace's alignment."""
        pairs = zip(self.output_shapes, dtypes, strict=True)
        sizes = (math.prod(shape) * dtype.itemsize for shape, dtype in pairs)
        return [-(-size // WORKSPACE_ALIGNMENT) * WORKSPACE_ALIGNMENT for size in sizes]


def emit_selftest(interface: Interface, case: Case) -> str:
    """`i32 NAME_selftest(ptr workspace, size_t workspace_bytes)`: 0, -7, or what NAME_run returned."""
    name, program = interface.name, interface.program
    writer = Writer()
    dtypes = [argument.type.dtype for argument in program.outputs]
    outputs, given = _output_memory(interface, writer, case, case.output_bytes(dtypes))
    values = [f"@{name}_case_input_{i}" for i in range(len(case.inputs))] + outputs
    values += [str(case.sizes[dim]) for dim in program.dims] + ["%workspace", given]
    kinds = [kind for kind, _ in interface.arguments]
    arguments = ", ".join(f"{kind} {value}" for kind, value in zip(kinds, values, strict=True))
    code = writer.value(f"call i32 @{name}_run({arguments})")
    passed, failed = writer.label("passed"), writer.label("failed")
    writer.branch(writer.value(f"icmp eq i32 {code}, 0"), passed, failed)
    writer.block(failed)
    writer.line(f"ret i32 {code}")
    writer.block(passed)
    for number, expected in enumerate(case.outputs or ()):
        place = f"ptr {outputs[number]}, ptr @{name}_case_output_{number}"
        arguments = f"{place}, i64 {expected.size}, double {_floor(expected):.17e}"
        differs = writer.value(f"call i1 @{name}_differs_{expected.dtype.name}({arguments})")
        writer.require(writer.value(f"xor i1 {differs}, true"), "differs")
    writer.line("ret i32 0")
    writer.block("differs")
    writer.line(f"ret i32 {int(Code.SELFTEST_FAILED)}")
    parameters = f"ptr %workspace, {interface.size} %workspace_bytes"
    function = writer.function(f"define i32 @{name}_selftest({parameters}) {ATTRIBUTES}")
    return "".join([function, *_constants(name, case), *_comparisons(name, case)])


def _output_memory(
    interface: Interface, writer: Writer, case: Case, bytes_each: Sequence[int]
) -> tuple[list[str], str]:
    """A pointer for each output, and the bytes of workspace left for the arena."""
    total = sum(bytes_each)
    given = "%workspace_bytes"
    if total <= LARGEST_ON_STACK:
        return [writer.value(f"alloca [{size} x i8], align 64") for size in bytes_each], given
    size = interface.size
    writer.require(writer.value("icmp ne ptr %workspace, null"), "null")
    dims = ", ".join(f"i64 {case.sizes[dim]}" for dim in interface.program.dims)
    arena = writer.value(f"call {size} @{interface.name}_workspace_bytes({dims})")
    needed = writer.value(f"add {size} {arena}, {total}")
    enough, small = writer.label("enough"), writer.label("small")
    writer.branch(writer.value(f"icmp uge {size} {given}, {needed}"), enough, small)
    writer.block("null")
    writer.line(f"ret i32 {int(Code.NULL_POINTER)}")
    writer.block(small)
    writer.line(f"ret i32 {int(Code.WORKSPACE_TOO_SMALL)}")
    writer.block(enough)
    place = writer.value(f"getelementptr i8, ptr %workspace, {size} {arena}")
    outputs = []
    for bytes_ in bytes_each:
        outputs.append(place)
        place = writer.value(f"getelementptr i8, ptr {place}, {size} {bytes_}")
    return outputs, arena


def _constants(name: str, case: Case) -> list[str]:
    parts = [data_constant(f"{name}_case_input_{i}", a.tobytes()) for i, a in enumerate(case.inputs)]
    outputs = case.outputs or ()
    return parts + [data_constant(f"{name}_case_output_{i}", a.tobytes()) for i, a in enumerate(outputs)]


def _comparisons(name: str, case: Case) -> list[str]:
    """`i1 NAME_differs_DTYPE(got, expected, count, floor)` for each dtype among the outputs."""
    dtypes = dict.fromkeys(array.dtype for array in case.outputs or ())
    return [_comparison(f"{name}_differs_{dtype.name}", dtype) for dtype in dtypes]


def _comparison(symbol: str, dtype: DType) -> str:
    writer = Writer()
    kind = IR_TYPES[dtype.name]
    writer.line("br label %head")
    writer.block("head")
    writer.line("%i = phi i64 [ 0, %0 ], [ %next, %agrees ]")
    writer.line("%more = icmp slt i64 %i, %count")
    writer.branch("%more", "body", "same")
    writer.block("body")
    pointers = [writer.value(f"getelementptr {kind}, ptr {base}, i64 %i") for base in ("%got", "%expected")]
    got, expected = (writer.value(f"load {kind}, ptr {pointer}") for pointer in pointers)
    close = _close(writer, dtype, got, expected)
    writer.branch(close, "agrees", "differs")
    writer.block("agrees")
    writer.line("%next = add i64 %i, 1")
    writer.jump("head")
    writer.block("same")
    writer.line("ret i1 false")
    writer.block("differs")
    writer.line("ret i1 true")
    parameters = "ptr %got, ptr %expected, i64 %count, double %floor"
    return writer.function(f"define internal i1 @{symbol}({parameters}) {ATTRIBUTES}")


def _close(writer: Writer, dtype: DType, got: str, expected: str) -> str:
    """Equal, both NaN, or within `floor` plus a part of the expected value."""
    kind = IR_TYPES[dtype.name]
    if dtype not in RELATIVE:
        return writer.value(f"icmp eq {kind} {got}, {expected}")
    if dtype == float32:
        got, expected = (writer.value(f"fpext float {x} to double") for x in (got, expected))
    equal = writer.value(f"fcmp oeq double {got}, {expected}")
    unordered = [writer.value(f"fcmp uno double {x}, {x}") for x in (got, expected)]
    difference = _magnitude(writer, writer.value(f"fsub double {got}, {expected}"))
    share = writer.value(f"fmul double {_magnitude(writer, expected)}, {RELATIVE[dtype][0]:.17e}")
    bound = writer.value(f"fadd double {share}, %floor")
    near = writer.value(f"fcmp ole double {difference}, {bound}")
    # An infinity expected makes the bound infinite, which nothing exceeds.
    finite = writer.value(f"fcmp one double {bound}, 0x7FF0000000000000")
    near = writer.all_of([near, finite])
    return writer.any_of([equal, writer.all_of(unordered), near])


def _magnitude(writer: Writer, value: str) -> str:
    negative = writer.value(f"fcmp olt double {value}, 0.0")
    opposite = writer.value(f"fneg double {value}")
    return writer.value(f"select i1 {negative}, double {opposite}, double {value}")


def _floor(expected: np.ndarray) -> float:
    """The absolute difference allowed: a part of the largest finite element."""
    if expected.dtype not in RELATIVE:
        return 0.0
    finite = np.abs(expected[np.isfinite(expected)].astype(np.float64))
    return float(finite.max(initial=0.0)) * RELATIVE[expected.dtype][1]
