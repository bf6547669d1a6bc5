"""NAME_run and NAME_workspace_bytes as LLVM text: the checks, the arena, the launches in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.abi import WORKSPACE_ALIGNMENT, Code, parameter_names
from compiler.llvm.entry_extents import Layout, Sizes, check_arguments, dim_values, emit_layout
from compiler.llvm.entry_work import emit_is_worth_sharing
from compiler.llvm.runtime_text import Writer, size_type
from compiler.loop.grammar import Kernel
from compiler.program import Launch, Place, Program

CONTEXT_THREADS = 0
CONTEXT_PARALLEL = 8
CONTEXT_WEIGHTS = 16
# No call to memset or memcpy may be made out of a loop: exported code has no libc.
ATTRIBUTES = 'nounwind "no-builtins"'


@dataclass(frozen=True, slots=True)
class NativeKernel:
    """What a launch needs to know of its compiled kernel."""

    symbol: str
    parallel: bool
    kernel: Kernel


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
) -> str:
    """The function that checks its arguments and launches the kernels; `order` maps launches to kernels."""
    writer = Writer()
    sizes, layout = _emit_sizes(interface, writer)
    extents = [[sizes.value(e) for e in launch.extents] for launch in interface.program.launches]
    _emit_checks(interface, writer, layout, writer.any_of(sizes.faults))
    body = _Launches(interface, writer, layout)
    launches = zip(interface.program.launches, extents, order, strict=True)
    for position, (launch, values, number) in enumerate(launches):
        body.launch(launch, values, kernels[number])
        for check in interface.program.checks:
            if check.launch == position:
                body.check(check.place)
    writer.line("ret i32 0")
    return writer.function(f"define {linkage}i32 {interface.signature(symbol)} {ATTRIBUTES}")


def emit_task(kernel: NativeKernel, launch: Launch) -> str:
    """The function a thread of the pool calls: unpacks a kernel's arguments and runs [begin, end)."""
    writer = Writer()
    types = _argument_types(launch)
    values = [writer.field("%packed", 8 * i, kind) for i, kind in enumerate(types)]
    arguments = ", ".join(f"{kind} {value}" for kind, value in zip(types, values, strict=True))
    separator = ", " if arguments else ""
    writer.line(f"call void @{kernel.symbol}({arguments}{separator}i64 %begin, i64 %end)")
    writer.line("ret void")
    return writer.function(
        f"define internal void @{kernel.symbol}_task(ptr %packed, i64 %begin, i64 %end) {ATTRIBUTES}"
    )


def _emit_sizes(interface: Interface, writer: Writer) -> tuple[Sizes, Layout]:
    """Layout of the arena; the faults of the sizes are true where a dimension is out of range."""
    program = interface.program
    dims = dim_values(program, interface.dim_parameters)
    sizes = Sizes(writer, dims)
    sizes.faults += [writer.value(f"icmp slt i64 {value}, 1") for value in dims.values()]
    check_arguments(sizes, (*program.inputs, *program.outputs))
    layout = emit_layout(sizes, program.slots)
    if interface.size == "i32" and layout.total.startswith("%"):
        sizes.faults.append(writer.value(f"icmp ugt i64 {layout.total}, 2147483647"))
    return sizes, layout


def _emit_checks(interface: Interface, writer: Writer, layout: Layout, fault: str) -> None:
    program = interface.program
    arrays = [f"%{name}" for name in interface.parameters[: interface.arrays]]
    pointers = [*arrays, *(["%context"] if interface.external else [])]
    uses_workspace = layout.total != "0"
    null = [writer.value(f"icmp eq ptr {pointer}, null") for pointer in pointers]
    if uses_workspace:
        no_workspace = writer.value("icmp eq ptr %workspace, null")
        needed = writer.value(f"icmp ne i64 {layout.total}, 0") if layout.total[0] == "%" else "true"
        null.append(writer.value(f"and i1 {no_workspace}, {needed}"))
    _fail_if(writer, writer.any_of(null), Code.NULL_POINTER)
    sizes = [a.type.dtype.itemsize for a in (*program.inputs, *program.outputs)]
    wanted = list(zip(arrays, sizes, strict=True))
    wanted += [("%workspace", WORKSPACE_ALIGNMENT)] if uses_workspace else []
    _fail_if(writer, _misaligned(writer, wanted), Code.MISALIGNED)
    _fail_if(writer, fault, Code.DIMENSION_OUT_OF_RANGE)
    if uses_workspace:
        given = "%workspace_bytes"
        if interface.size != "i64":
            given = writer.value(f"zext {interface.size} {given} to i64")
        too_small = writer.value(f"icmp ult i64 {given}, {layout.total}")
        _fail_if(writer, too_small, Code.WORKSPACE_TOO_SMALL)


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


def _argument_types(launch: Launch) -> list[str]:
    return ["ptr"] * len(launch.places) + ["i64"] * len(launch.extents)


class _Launches:
    """Writes one launch after another into the body of NAME_run."""

    def __init__(self, interface: Interface, writer: Writer, layout: Layout):
        self._interface = interface
        self._writer = writer
        self._layout = layout
        self._packed = "null"
        packs = [len(_argument_types(launch)) for launch in interface.program.launches]
        if interface.external:
            self._threads = writer.field("%context", CONTEXT_THREADS, "i64")
            self._parallel = writer.field("%context", CONTEXT_PARALLEL, "ptr")
            pool = writer.value(f"icmp ne ptr {self._parallel}, null")
            self._shares = writer.all_of([pool, writer.value(f"icmp sgt i64 {self._threads}, 1")])
            # One array for all launches: they run one after another.
            self._packed = writer.value(f"alloca [{max(packs, default=0)} x i64], align 8")

    def launch(self, launch: Launch, extents: Sequence[str], kernel: NativeKernel) -> None:
        writer = self._writer
        values = [*(self._place(place) for place in launch.places), *extents]
        typed = [f"{kind} {value}" for kind, value in zip(_argument_types(launch), values, strict=True)]
        if not kernel.parallel:
            writer.line(f"call void @{kernel.symbol}({', '.join(typed)})")
            return
        sizes = ", ".join(f"i64 {value}" for value in extents)
        tasks = writer.value(f"call i64 @{kernel.symbol}_tasks({sizes})")
        serial = f"call void @{kernel.symbol}({', '.join([*typed, 'i64 0', f'i64 {tasks}'])})"
        worth = "false"
        if self._interface.external:
            worth = emit_is_worth_sharing(writer, kernel.kernel, extents)
        if worth == "false":
            writer.line(serial)
            return
        several = writer.value(f"icmp sgt i64 {tasks}, 1")
        self._split(kernel, typed, tasks, serial, writer.all_of([self._shares, worth, several]))

    def check(self, place: Place) -> None:
        """Leave with a code if the flag is set."""
        flag = self._writer.value(f"load i32, ptr {self._place(place)}, align 4")
        wrong = self._writer.value(f"icmp ne i32 {flag}, 0")
        _fail_if(self._writer, wrong, Code.INDEX_OUT_OF_RANGE)

    def _split(
        self, kernel: NativeKernel, typed: Sequence[str], tasks: str, serial: str, condition: str
    ) -> None:
        """The pool where the condition holds, else the caller alone."""
        writer = self._writer
        split, alone, done = writer.label("split"), writer.label("alone"), writer.label("done")
        writer.branch(condition, split, alone)
        writer.block(split)
        for i, argument in enumerate(typed):
            place = writer.value(f"getelementptr i8, ptr {self._packed}, i64 {8 * i}")
            writer.line(f"store {argument}, ptr {place}")
        task = f"ptr @{kernel.symbol}_task"
        packed = f"ptr {self._packed}"
        writer.line(f"call void {self._parallel}({task}, {packed}, i64 {tasks}, i64 {self._threads})")
        writer.jump(done)
        writer.block(alone)
        writer.line(serial)
        writer.jump(done)
        writer.block(done)

    def _place(self, place: Place) -> str:
        """The pointer to a place. Inputs, outputs and constants have names; the rest is an address
        computed at each use, which LLVM folds into the call."""
        interface, writer = self._interface, self._writer
        names = interface.parameters
        if place.kind == "input":
            return f"%{names[place.index]}"
        if place.kind == "output":
            return f"%{names[len(interface.program.inputs) + place.index]}"
        if place.kind == "arena":
            offset = self._layout.offsets[place.index]
            return writer.value(f"getelementptr i8, ptr %workspace, i64 {offset}")
        if interface.external:
            return writer.field("%context", CONTEXT_WEIGHTS + 8 * place.index, "ptr")
        return f"@{interface.name}_weight_{place.index}"
