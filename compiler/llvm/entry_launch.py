"""Launches: the addresses a run works on, and for each kernel the one function that runs it on some of them.

A deep network launches few kernels many times. So NAME_run holds only one short call a launch; what a launch
does - fetch its buffers' addresses, decide whether threads share it - stands once a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.llvm.entry_work import emit_is_worth_sharing
from compiler.llvm.runtime_text import Writer
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

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """(IR type, name) of the buffers and extents, in order."""
        buffers = [("ptr", f"b{i}") for i in range(len(self.kernel.buffers))]
        return buffers + [("i64", f"x{i}") for i in range(len(self.kernel.extents))]


class Places:
    """The table of addresses on the stack of NAME_run: every input, output, slot and weight has a number."""

    def __init__(self, program: Program):
        self.weights = len(program.weights)
        places = [Place("input", i) for i in range(len(program.inputs))]
        places += [Place("output", i) for i in range(len(program.outputs))]
        places += [Place("arena", i) for i in range(len(program.slots))]
        places += [Place("row", i) for i in range(len(program.rows))]
        places += [Place("weight", i) for i in range(self.weights)]
        self._numbers = {place: number for number, place in enumerate(places)}

    def all(self) -> tuple[Place, ...]:
        """In the order of their numbers; the weights are last."""
        return tuple(self._numbers)

    def number(self, place: Place) -> int:
        return self._numbers[place]


def launch_table(name: str, program: Program, places: Places) -> tuple[str, list[int]]:
    """A constant with the numbers of every single launch's places, and where each launch's begin."""
    numbers: list[int] = []
    starts = []
    for launch in program.launches:
        starts.append(len(numbers))
        if isinstance(launch, Launch):
            numbers.extend(places.number(place) for place in launch.places)
    content = ", ".join(f"i32 {number}" for number in numbers) or "i32 0"
    return f"@{name}_launches = internal constant [{max(len(numbers), 1)} x i32] [{content}]\n", starts


def emit_launch(kernel: NativeKernel, external: bool) -> str:
    """`void @KERNEL_launch(ptr places, ptr numbers, [ptr context,] i64 extents...)`.

    The kernel's buffers are the places of these numbers. The threads of the context share the work where
    there is enough.
    """
    writer = Writer()
    buffers = [_address(writer, i) for i in range(len(kernel.kernel.buffers))]
    extents = [f"%{name}" for kind, name in kernel.arguments if kind == "i64"]
    types = [kind for kind, _ in kernel.arguments]
    typed = [f"{kind} {value}" for kind, value in zip(types, [*buffers, *extents], strict=True)]
    if kernel.parallel:
        _run_shared(writer, kernel, typed, extents, external)
    else:
        writer.line(f"call void @{kernel.symbol}({', '.join(typed)})")
    writer.line("ret void")
    parameters = ["ptr %places", "ptr %numbers", *(["ptr %context"] if external else [])]
    parameters += [f"i64 {extent}" for extent in extents]
    head = f"define internal void @{kernel.symbol}_launch({', '.join(parameters)})"
    return writer.function(f"{head} {ATTRIBUTES} noinline")


def emit_task(kernel: NativeKernel) -> str:
    """The function a thread of the pool calls: unpacks a kernel's arguments and runs [begin, end)."""
    writer = Writer()
    values = [writer.field("%packed", 8 * i, kind) for i, (kind, _) in enumerate(kernel.arguments)]
    arguments = [f"{kind} {value}" for (kind, _), value in zip(kernel.arguments, values, strict=True)]
    writer.line(f"call void @{kernel.symbol}({', '.join([*arguments, 'i64 %begin', 'i64 %end'])})")
    writer.line("ret void")
    return writer.function(
        f"define internal void @{kernel.symbol}_task(ptr %packed, i64 %begin, i64 %end) {ATTRIBUTES}"
    )


def launch_call(
    kernel: NativeKernel, launch: Launch, name: str, start: int, external: bool, extents: Sequence[str]
) -> str:
    """The call of emit_launch's function in NAME_run, whose table of addresses is %places."""
    arguments = ["ptr %places", f"ptr getelementptr (i32, ptr @{name}_launches, i64 {start})"]
    arguments += ["ptr %context"] if external else []
    arguments += [f"i64 {extent}" for extent in extents]
    return f"call void @{kernel.symbol}_launch({', '.join(arguments)})"


def _address(writer: Writer, position: int) -> str:
    number = writer.field("%numbers", 4 * position, "i32")
    place = writer.value(f"getelementptr ptr, ptr %places, i32 {number}")
    return writer.value(f"load ptr, ptr {place}")


def _run_shared(
    writer: Writer, kernel: NativeKernel, typed: Sequence[str], extents: Sequence[str], external: bool
) -> None:
    """On the pool's threads where there is enough to do, else by the caller alone."""
    sizes = ", ".join(f"i64 {value}" for value in extents)
    tasks = writer.value(f"call i64 @{kernel.symbol}_tasks({sizes})")
    serial = f"call void @{kernel.symbol}({', '.join([*typed, 'i64 0', f'i64 {tasks}'])})"
    worth = emit_is_worth_sharing(writer, kernel.kernel, extents) if external else "false"
    if worth == "false":
        writer.line(serial)
        return
    packed = writer.value(f"alloca [{len(typed)} x i64], align 8")
    threads = writer.field("%context", CONTEXT_THREADS, "i64")
    parallel = writer.field("%context", CONTEXT_PARALLEL, "ptr")
    several = [f"icmp ne ptr {parallel}, null", f"icmp sgt i64 {threads}, 1", f"icmp sgt i64 {tasks}, 1"]
    condition = writer.all_of([worth, *(writer.value(test) for test in several)])
    split, alone, done = writer.label("split"), writer.label("alone"), writer.label("done")
    writer.branch(condition, split, alone)
    writer.block(split)
    for i, argument in enumerate(typed):
        place = writer.value(f"getelementptr i8, ptr {packed}, i64 {8 * i}")
        writer.line(f"store {argument}, ptr {place}")
    task = f"ptr @{kernel.symbol}_task"
    writer.line(f"call void {parallel}({task}, ptr {packed}, i64 {tasks}, i64 {threads})")
    writer.jump(done)
    writer.block(alone)
    writer.line(serial)
    writer.jump(done)
    writer.block(done)
