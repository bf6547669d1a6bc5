"""NAME_run and NAME_workspace_bytes as LLVM text: the checks, the arena, the launches in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.abi import WORKSPACE_ALIGNMENT, Code, parameter_names
from compiler.llvm.entry_calls import Calls
from compiler.llvm.entry_extents import Layout, Sizes, check_arguments, dim_values, emit_layout
from compiler.llvm.entry_launch import ATTRIBUTES, CONTEXT_WEIGHTS, NativeKernel, Places
from compiler.llvm.entry_repeat import Repeats
from compiler.llvm.runtime_text import Writer, size_type
from compiler.program import Argument, Place, Program
from symgraph.dimension import is_positive

# Ticks of a constant rate, whatever the frequency of the core. The first is the time stamp counter of x86,
# where LLVM knows no other; on AArch64 it is not for user programs to read.
CLOCKS = ("llvm.readcyclecounter", "llvm.readsteadycounter")


@dataclass(frozen=True, slots=True)
class Interface:
    """Symbols and IR types of one program's entry points.

    `external`: the weights come through a context argument; otherwise they are the constants
    `@NAME_weight_0` and so on, and loops run serially.
    """

    program: Program
    name: str
    triple: str
    external: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of inputs, outputs and dims, in call order."""
        program = self.program
        return parameter_names(
            [a.name for a in program.inputs], [a.name for a in program.outputs], program.dims
        )

    @property
    def arrays(self) -> int:
        return len(self.program.inputs) + len(self.program.outputs)

    @property
    def dim_parameters(self) -> tuple[str, ...]:
        return self.parameters[self.arrays :]

    @property
    def size(self) -> str:
        return size_type(self.triple)

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """(IR type, name) of each argument of NAME_run."""
        arguments = [("ptr", name) for name in self.parameters[: self.arrays]]
        arguments += [("i64", name) for name in self.dim_parameters]
        if self.external:
            arguments.append(("ptr", "context"))
        return [*arguments, ("ptr", "workspace"), (self.size, "workspace_bytes")]

    def signature(self, symbol: str) -> str:
        return f"@{symbol}({', '.join(f'{kind} %{name}' for kind, name in self.arguments)})"


def emit_workspace_bytes(interface: Interface) -> str:
    """NAME_workspace_bytes: the arena's exact size; the largest size_t for dims that are out of range."""
    writer = Writer()
    sizes, layout = _emit_sizes(interface, writer)
    fault = writer.any_of(sizes.faults)
    total = layout.total
    if interface.size != "i64":
        total = writer.value(f"trunc i64 {total} to {interface.size}")
    result = writer.value(f"select i1 {fault}, {interface.size} -1, {interface.size} {total}")
    writer.line(f"ret {interface.size} {result}")
    dims = ", ".join(f"i64 %{name}" for name in interface.dim_parameters)
    return writer.function(f"define {interface.size} @{interface.name}_workspace_bytes({dims}) {ATTRIBUTES}")


def emit_run(
    interface: Interface,
    kernels: Sequence[NativeKernel],
    order: Sequence[int],
    symbol: str,
    linkage: str = "",
    *,
    timed: bool = False,
) -> str:
    """The function that checks its arguments and launches the kernels; `order` maps launches to kernels.

    `timed`: each launch adds the ticks of a clock that it took to its word of the last weight.
    """
    program = interface.program
    writer = Writer()
    sizes, layout = _emit_sizes(interface, writer)
    extents = [[sizes.value(e) for e in launch.runs[0].extents] for launch in program.launches]
    places = Places(program)
    repeats = Repeats(writer, program, places, sizes)
    _emit_checks(interface, writer, sizes, layout)
    calls = Calls(interface.name, program, places, kernels, order, interface.external)
    body = _Launches(interface, writer, layout, places)
    body.fill_places()
    repeats.place_rows(None)
    if timed:
        body.start_clock()
    checks: dict[int, list[Place]] = {}
    for check in program.checks:
        checks.setdefault(check.launch, []).append(check.place)
    for position, values in enumerate(extents):
        repeats.before(position)
        writer.line(calls.call(position, values))
        if timed:
            body.tick(position)
        for place in checks.get(position, ()):
            body.check(place)
    repeats.before(len(extents))
    writer.line("ret i32 0")
    # Nothing but calls: optimizing thousands of them would cost more than it could ever win back.
    head = f"define {linkage}i32 {interface.signature(symbol)} {ATTRIBUTES} noinline optnone"
    return "\n".join([writer.function(head), *calls.parts()])


def _emit_sizes(interface: Interface, writer: Writer) -> tuple[Sizes, Layout]:
    """Layout of the arena; the faults of the sizes are true where a dimension is out of range."""
    program = interface.program
    dims = dim_values(program, interface.dim_parameters)
    sizes = Sizes(writer, dims)
    sizes.faults += [writer.value(f"icmp slt i64 {value}, 1") for value in dims.values()]
    check_arguments(sizes, (*program.inputs, *program.outputs))
    for extent in program.extents:
        sizes.nonnegative(extent)
    layout = emit_layout(sizes, program.slots)
    if interface.size == "i32" and layout.total.startswith("%"):
        sizes.faults.append(writer.value(f"icmp ugt i64 {layout.total}, 2147483647"))
    return sizes, layout


def _emit_checks(interface: Interface, writer: Writer, sizes: Sizes, layout: Layout) -> None:
    program = interface.program
    fault = writer.any_of(sizes.faults)
    arrays = [f"%{name}" for name in interface.parameters[: interface.arrays]]
    arguments = (*program.inputs, *program.outputs)
    counts = [_elements(sizes, argument) for argument in arguments]
    uses_workspace = layout.total != "0"
    null = [_is_missing(writer, *pair) for pair in zip(arrays, counts, strict=True)]
    if interface.external:
        null.append(_is_missing(writer, "%context", "1"))
    if uses_workspace:
        null.append(_is_missing(writer, "%workspace", layout.total))
    _fail_if(writer, writer.any_of(null), Code.NULL_POINTER)
    wanted = [(array, a.type.dtype.itemsize) for array, a in zip(arrays, arguments, strict=True)]
    wanted += [("%workspace", WORKSPACE_ALIGNMENT)] if uses_workspace else []
    _fail_if(writer, _misaligned(writer, wanted), Code.MISALIGNED)
    _fail_if(writer, fault, Code.DIMENSION_OUT_OF_RANGE)
    if uses_workspace:
        given = "%workspace_bytes"
        if interface.size != "i64":
            given = writer.value(f"zext {interface.size} {given} to i64")
        too_small = writer.value(f"icmp ult i64 {given}, {layout.total}")
        _fail_if(writer, too_small, Code.WORKSPACE_TOO_SMALL)


def _elements(sizes: Sizes, argument: Argument) -> str:
    """How many elements an array has, where it may have none: every dimension is at least 1."""
    count = argument.type.size
    return "1" if is_positive(count) else sizes.value(count)


def _is_missing(writer: Writer, pointer: str, count: str) -> str:
    """Whether a pointer is NULL though something is read or written there; C++ has vectors of nothing."""
    if count == "0":
        return "false"
    null = writer.value(f"icmp eq ptr {pointer}, null")
    if not count.startswith("%"):
        return null
    needed = writer.value(f"icmp ne i64 {count}, 0")
    return writer.value(f"and i1 {null}, {needed}")


def _misaligned(writer: Writer, pointers: Sequence[tuple[str, int]]) -> str:
    """One test for each alignment: the low bits of all its pointers together."""
    groups: dict[int, list[str]] = {}
    for pointer, alignment in pointers:
        if alignment > 1:
            groups.setdefault(alignment, []).append(pointer)
    conditions = []
    for alignment, members in groups.items():
        bits = "0"
        for pointer in members:
            address = writer.value(f"ptrtoint ptr {pointer} to i64")
            bits = address if bits == "0" else writer.value(f"or i64 {bits}, {address}")
        low = writer.value(f"and i64 {bits}, {alignment - 1}")
        conditions.append(writer.value(f"icmp ne i64 {low}, 0"))
    return writer.any_of(conditions)


def _fail_if(writer: Writer, condition: str, code: Code) -> None:
    if condition == "false":
        return
    failed, passed = writer.label("failed"), writer.label("passed")
    writer.branch(condition, failed, passed)
    writer.block(failed)
    writer.line(f"ret i32 {int(code)}")
    writer.block(passed)


class _Launches:
    """Writes one launch after another into the body of NAME_run."""

    def __init__(self, interface: Interface, writer: Writer, layout: Layout, places: Places):
        self._interface = interface
        self._writer = writer
        self._layout = layout
        self._places = places

    def fill_places(self) -> None:
        """The table of addresses. Weights are copied from the context, where they stand side by side."""
        writer, interface, places = self._writer, self._interface, self._places
        writer.line(f"%places = alloca [{max(len(places.all()), 1)} x ptr], align 8")
        for place in places.all():
            if place.kind != "row" and not (interface.external and place.kind == "weight"):
                address = self._address(place)
                writer.line(f"store ptr {address}, ptr {self._entry(place)}")
        if interface.external and places.weights:
            source = writer.value(f"getelementptr i8, ptr %context, i64 {CONTEXT_WEIGHTS}")
            target = self._entry(Place("weight", 0))
            size = 8 * places.weights
            writer.line(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")

    def check(self, place: Place) -> None:
        """Leave with a code if the flag is set."""
        address = self._writer.value(f"load ptr, ptr {self._entry(place)}")
        flag = self._writer.value(f"load i32, ptr {address}, align 4")
        wrong = self._writer.value(f"icmp ne i32 {flag}, 0")
        _fail_if(self._writer, wrong, Code.INDEX_OUT_OF_RANGE)

    def start_clock(self) -> None:
        """The last word is what the clock read last."""
        last = self._word(len(self._interface.program.launches))
        self._writer.line(f"store i64 {self._clock()}, ptr {last}")

    def tick(self, number: int) -> None:
        """The ticks since the clock was last read, added to word `number`."""
        writer = self._writer
        before = self._word(len(self._interface.program.launches))
        now = self._clock()
        taken = writer.value(f"sub i64 {now}, {writer.value(f'load i64, ptr {before}')}")
        word = self._word(number)
        writer.line(f"store i64 {now}, ptr {before}")
        total = writer.value(f"add i64 {writer.value(f'load i64, ptr {word}')}, {taken}")
        writer.line(f"store i64 {total}, ptr {word}")

    def _word(self, number: int) -> str:
        """The address of a word of the last weight."""
        last = Place("weight", len(self._interface.program.weights) - 1)
        words = self._writer.value(f"load ptr, ptr {self._entry(last)}")
        return self._writer.value(f"getelementptr i64, ptr {words}, i64 {number}")

    def _clock(self) -> str:
        clock = CLOCKS[0] if self._interface.triple.startswith(("x86", "i386", "i686")) else CLOCKS[1]
        return self._writer.value(f"call i64 @{clock}()")

    def _entry(self, place: Place) -> str:
        return self._writer.value(f"getelementptr ptr, ptr %places, i64 {self._places.number(place)}")

    def _address(self, place: Place) -> str:
        interface = self._interface
        names = interface.parameters
        if place.kind == "input":
            return f"%{names[place.index]}"
        if place.kind == "output":
            return f"%{names[len(interface.program.inputs) + place.index]}"
        if place.kind == "arena":
            offset = self._layout.offsets[place.index]
            return self._writer.value(f"getelementptr i8, ptr %workspace, i64 {offset}")
        return f"@{interface.name}_weight_{place.index}"
