"""Groups: runs of one kernel as one launch, by a loop over a constant table with a row for each run.

A row holds the numbers of the run's places and those of its extents that are ints. Where the runs together do
enough, threads share the tasks of all of them, numbered one run after another, with one start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.llvm.entry_launch import (
    ATTRIBUTES,
    CONTEXT_PARALLEL,
    CONTEXT_THREADS,
    NativeKernel,
    Places,
)
from compiler.llvm.entry_work import LEAST_SHARED, emit_work
from compiler.llvm.runtime_text import Writer
from compiler.program import Group, Program
from symgraph.dimension import Dim

# What the task of a group finds in its packed arguments: places, rows, ends, then the named extents.
FIRST_NAMED = 3


@dataclass(frozen=True, slots=True)
class GroupKernel:
    """A kernel and which of its extents stand in the rows; the others are arguments."""

    kernel: NativeKernel
    in_row: tuple[bool, ...]

    @staticmethod
    def of(kernel: NativeKernel, group: Group) -> GroupKernel:
        return GroupKernel(kernel, tuple(not isinstance(e, Dim) for e in group.runs[0].extents))

    @property
    def symbol(self) -> str:
        return f"{self.kernel.symbol}_group_{''.join('r' if known else 'a' for known in self.in_row)}"

    @property
    def buffers(self) -> int:
        return len(self.kernel.kernel.buffers)

    @property
    def width(self) -> int:
        """Words of a row."""
        return self.buffers + sum(self.in_row)

    @property
    def named(self) -> list[str]:
        """Typed parameters for the extents that are arguments."""
        return [f"i64 %x{i}" for i, known in enumerate(self.in_row) if not known]


def group_tables(name: str, program: Program, places: Places) -> tuple[str, dict[int, int]]:
    """A constant with the rows of all groups; for each group's position the word at which its own begin."""
    words: list[int] = []
    starts: dict[int, int] = {}
    for position, group in enumerate(program.launches):
        if isinstance(group, Group):
            starts[position] = len(words)
            for run in group.runs:
                words.extend(places.number(place) for place in run.places)
                words.extend(extent for extent in run.extents if not isinstance(extent, Dim))
    if not words:
        return "", starts
    content = ", ".join(f"i64 {word}" for word in words)
    return f"@{name}_groups = internal constant [{len(words)} x i64] [{content}]\n", starts


def group_call(
    kernel: GroupKernel, group: Group, name: str, start: int, external: bool, extents: Sequence[str]
) -> str:
    """The call of emit_group's function in NAME_run. `extents` are the values of all of a run's extents."""
    arguments = ["ptr %places", f"ptr getelementptr (i64, ptr @{name}_groups, i64 {start})"]
    arguments += [f"i64 {len(group.runs)}", *(["ptr %context"] if external else [])]
    arguments += [f"i64 {x}" for x, known in zip(extents, kernel.in_row, strict=True) if not known]
    return f"call void @{kernel.symbol}{'' if external else '_serial'}({', '.join(arguments)})"


def emit_group(kernel: GroupKernel, external: bool) -> str:
    """The function of group_call, and those it is made of."""
    parts = [_emit_member(kernel), _emit_tasks(kernel), _fill(SERIAL, kernel)]
    if external:
        parts += [_emit_work(kernel), _emit_task(kernel), _fill(SHARED, kernel, _emit_pack(kernel))]
    return "\n".join(parts)


def _emit_member(kernel: GroupKernel) -> str:
    """One run, by its row: its tasks from begin to end."""
    writer = Writer()
    run, done = writer.label("run"), writer.label("done")
    writer.branch(writer.value("icmp slt i64 %begin, %end"), run, done)
    writer.block(run)
    arguments = []
    for i in range(kernel.buffers):
        place = writer.value(f"getelementptr ptr, ptr %places, i64 {writer.field('%row', 8 * i, 'i64')}")
        arguments.append(f"ptr {writer.value(f'load ptr, ptr {place}')}")
    arguments += [f"i64 {extent}" for extent in _extents(writer, kernel)]
    arguments += ["i64 %begin", "i64 %end"] if kernel.kernel.parallel else []
    writer.line(f"call void @{kernel.kernel.symbol}({', '.join(arguments)})")
    writer.jump(done)
    writer.block(done)
    writer.line("ret void")
    parameters = ["ptr %places", "ptr %row", *kernel.named, "i64 %begin", "i64 %end"]
    return _function(writer, f"void @{kernel.symbol}_member({', '.join(parameters)})")


def _emit_tasks(kernel: GroupKernel) -> str:
    """The number of tasks of a run."""
    writer = Writer()
    tasks = "1"
    if kernel.kernel.parallel:
        extents = ", ".join(f"i64 {extent}" for extent in _extents(writer, kernel))
        tasks = writer.value(f"call i64 @{kernel.kernel.symbol}_tasks({extents})")
    writer.line(f"ret i64 {tasks}")
    return _function(writer, f"i64 @{kernel.symbol}_tasks({', '.join(['ptr %row', *kernel.named])})")


def _emit_work(kernel: GroupKernel) -> str:
    """The operations of a run."""
    writer = Writer()
    writer.line(f"ret double {emit_work(writer, kernel.kernel.kernel, _extents(writer, kernel))}")
    return _function(writer, f"double @{kernel.symbol}_work({', '.join(['ptr %row', *kernel.named])})")


def _emit_task(kernel: GroupKernel) -> str:
    """What a thread of the pool calls: the tasks from begin to end, of as many runs as they lie in."""
    named = [f"  {name.split()[1]} = load i64, ptr %packed.{i}" for i, name in enumerate(kernel.named)]
    offsets = [
        f"  %packed.{i} = getelementptr i64, ptr %packed, i64 {FIRST_NAMED + i}" for i in range(len(named))
    ]
    return _fill(TASK, kernel, "\n".join([*offsets, *named]))


def _emit_pack(kernel: GroupKernel) -> str:
    """Put the task's arguments at %packed."""
    values = ["ptr %places", "ptr %rows", "ptr %ends", *kernel.named]
    lines = [f"  %packed = alloca [{len(values)} x i64], align 8"]
    for i, value in enumerate(values):
        lines.append(f"  %packed.{i} = getelementptr i64, ptr %packed, i64 {i}")
        lines.append(f"  store {value}, ptr %packed.{i}")
    return "\n".join(lines)


def _extents(writer: Writer, kernel: GroupKernel) -> list[str]:
    """Values of all extents of the run at %row."""
    values = []
    word = kernel.buffers
    for i, known in enumerate(kernel.in_row):
        values.append(writer.field("%row", 8 * word, "i64") if known else f"%x{i}")
        word += known
    return values


def _function(writer: Writer, head: str) -> str:
    return writer.function(f"define internal {head} {ATTRIBUTES}")


def _fill(text: str, kernel: GroupKernel, own: str = "") -> str:
    """A template below for this kernel."""
    replaced = {
        "SYMBOL": kernel.symbol,
        "WIDTH": str(kernel.width),
        ", NAMED": "".join(f", {name}" for name in kernel.named),
        "ATTRIBUTES": ATTRIBUTES,
        "LEAST": f"{LEAST_SHARED}.0",
        "OWN": own,
    }
    for name, value in replaced.items():
        text = text.replace(name, value)
    return text


SERIAL = """
; All runs, one after another.
define internal void @SYMBOL_serial(ptr %places, ptr %rows, i64 %count, NAMED) ATTRIBUTES noinline {
  br label %member
member:
  %i = phi i64 [ 0, %0 ], [ %next, %member ]
  %word = mul i64 %i, WIDTH
  %row = getelementptr i64, ptr %rows, i64 %word
  %tasks = call i64 @SYMBOL_tasks(ptr %row, NAMED)
  call void @SYMBOL_member(ptr %places, ptr %row, NAMED, i64 0, i64 %tasks)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %member, label %done
done:
  ret void
}
"""

SHARED = f"""
; On the pool's threads where the runs together do enough, else by the caller alone.
define internal void @SYMBOL(ptr %places, ptr %rows, i64 %count, ptr %context, NAMED) ATTRIBUTES noinline {{
  %threads.place = getelementptr i8, ptr %context, i64 {CONTEXT_THREADS}
  %threads = load i64, ptr %threads.place
  %parallel.place = getelementptr i8, ptr %context, i64 {CONTEXT_PARALLEL}
  %parallel = load ptr, ptr %parallel.place
  %pool = icmp ne ptr %parallel, null
  %several = icmp sgt i64 %threads, 1
  %may = and i1 %pool, %several
  br i1 %may, label %measure, label %alone
measure:
  %ends = alloca i64, i64 %count, align 8
  br label %member
member:
  %i = phi i64 [ 0, %measure ], [ %next, %member ]
  %start = phi i64 [ 0, %measure ], [ %end, %member ]
  %before = phi double [ 0.0, %measure ], [ %work, %member ]
  %word = mul i64 %i, WIDTH
  %row = getelementptr i64, ptr %rows, i64 %word
  %tasks = call i64 @SYMBOL_tasks(ptr %row, NAMED)
  %end = add i64 %start, %tasks
  %place = getelementptr i64, ptr %ends, i64 %i
  store i64 %end, ptr %place
  %own = call double @SYMBOL_work(ptr %row, NAMED)
  %work = fadd double %before, %own
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %member, label %decide
decide:
  %enough = fcmp oge double %work, LEAST
  %many = icmp sgt i64 %end, 1
  %worth = and i1 %enough, %many
  br i1 %worth, label %split, label %alone
split:
OWN
  call void %parallel(ptr @SYMBOL_task, ptr %packed, i64 %end, i64 %threads)
  ret void
alone:
  call void @SYMBOL_serial(ptr %places, ptr %rows, i64 %count, NAMED)
  ret void
}}
"""

TASK = """
define internal void @SYMBOL_task(ptr %packed, i64 %begin, i64 %end) ATTRIBUTES {
  %places = load ptr, ptr %packed
  %rows.place = getelementptr i64, ptr %packed, i64 1
  %rows = load ptr, ptr %rows.place
  %ends.place = getelementptr i64, ptr %packed, i64 2
  %ends = load ptr, ptr %ends.place
OWN
  br label %find
find:
  %i = phi i64 [ 0, %0 ], [ %next, %find ]
  %start = phi i64 [ 0, %0 ], [ %stop, %find ]
  %stop.place = getelementptr i64, ptr %ends, i64 %i
  %stop = load i64, ptr %stop.place
  %next = add i64 %i, 1
  %over = icmp sle i64 %stop, %begin
  br i1 %over, label %find, label %run
run:
  %j = phi i64 [ %i, %find ], [ %following, %run ]
  %from = phi i64 [ %start, %find ], [ %to, %run ]
  %to.place = getelementptr i64, ptr %ends, i64 %j
  %to = load i64, ptr %to.place
  %late = icmp sgt i64 %begin, %from
  %lower = select i1 %late, i64 %begin, i64 %from
  %short = icmp slt i64 %end, %to
  %upper = select i1 %short, i64 %end, i64 %to
  %first = sub i64 %lower, %from
  %last = sub i64 %upper, %from
  %word = mul i64 %j, WIDTH
  %row = getelementptr i64, ptr %rows, i64 %word
  call void @SYMBOL_member(ptr %places, ptr %row, NAMED, i64 %first, i64 %last)
  %following = add i64 %j, 1
  %more = icmp slt i64 %to, %end
  br i1 %more, label %run, label %done
done:
  ret void
}
"""
