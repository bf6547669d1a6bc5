"""A kernel of the loop IR as the text of LLVM functions."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.llvm.emit_arithmetic import binary
from compiler.llvm.emit_memory import Memory, Storage
from compiler.llvm.emit_statement import Statements
from compiler.llvm.emit_text import Writer
from compiler.llvm.emit_value import Value, integer, parameter
from compiler.llvm.target import Target
from compiler.loop.grammar import For, Kernel
from compiler.loop.walk import written_buffers
from symgraph.types import int64


@dataclass(frozen=True, slots=True)
class KernelCode:
    """LLVM text of one kernel. `declarations` are the intrinsics it calls; a module declares each once.

    `define internal void @NAME(ptr ..., i64 ...)` takes the buffers and the extents in the kernel's order.
    Where `parallel`, it also takes `i64 %begin, i64 %end` and runs those iterations of its outermost loop,
    counted from 0, and `define internal i64 @NAME_tasks(i64 ...)` gives their number from the extents.
    """

    text: str
    declarations: tuple[str, ...]
    parallel: bool


def emit_kernel(kernel: Kernel, target: Target) -> KernelCode:
    """The functions of a kernel. Calls other than fma must have been expanded before.

    Raises CompileError for a kernel that breaks the rules of the loop IR.
    """
    writer = Writer(target)
    statements = _statements(kernel, target, writer)
    loop = _parallel_loop(kernel)
    if loop is None:
        statements.run(kernel.body)
    else:
        _run_tasks(statements, loop)
    if writer.streams:
        # Non-temporal stores are weakly ordered: other threads read the result after this returns.
        writer.line("fence seq_cst")
    texts = [_function(kernel, target, writer, loop is not None)]
    declarations = writer.declarations
    if loop is not None:
        tasks, more = _tasks(kernel, target, loop)
        texts.append(tasks)
        declarations = tuple(dict.fromkeys((*declarations, *more)))
    return KernelCode("\n".join(texts), declarations, loop is not None)


def _statements(kernel: Kernel, target: Target, writer: Writer) -> Statements:
    memory = Memory(writer, target.vector_bits // 8)
    for buffer in kernel.buffers:
        memory.storages[buffer.name] = Storage(buffer, parameter("b", buffer.name))
    statements = Statements(memory, target)
    for name in kernel.extents:
        statements.expressions.names[name] = Value(int64, parameter("x", name))
    return statements


def _parallel_loop(kernel: Kernel) -> For | None:
    first = kernel.body[0] if len(kernel.body) == 1 else None
    return first if isinstance(first, For) and first.mode == "parallel" else None


def _run_tasks(statements: Statements, loop: For) -> None:
    start, _ = statements.bounds(loop)
    writer = statements.writer

    def task(number: str) -> None:
        scaled = binary(writer, "mul", Value(int64, number), integer(loop.step))
        statements.step(loop, binary(writer, "add", start, scaled).scalar)

    writer.loop("%begin", "%end", 1, task)


def _tasks(kernel: Kernel, target: Target, loop: For) -> tuple[str, tuple[str, ...]]:
    """The function that counts the iterations of the parallel loop, and its declarations."""
    writer = Writer(target)
    statements = _statements(kernel, target, writer)
    start, stop = statements.bounds(loop)
    distance = binary(writer, "sub", stop, start)
    count = binary(writer, "div", binary(writer, "add", distance, integer(loop.step - 1)), integer(loop.step))
    number = binary(writer, "maximum", count, integer(0))
    head = f"define internal i64 @{kernel.name}_tasks({_extents(kernel)}) nounwind {{"
    lines = [head, "entry:", *writer.entry, *writer.lines, f"  ret i64 {number.scalar}", "}", ""]
    return "\n".join(lines), writer.declarations


def _function(kernel: Kernel, target: Target, writer: Writer, parallel: bool) -> str:
    written = written_buffers(kernel)
    parameters = [
        f"ptr noalias {'' if buffer.name in written else 'readonly '}{parameter('b', buffer.name)}"
        for buffer in kernel.buffers
    ]
    parameters += [_extents(kernel)] if kernel.extents else []
    parameters += ["i64 %begin", "i64 %end"] if parallel else []
    width = target.vector_bits
    # A loop that fills memory must not become a call of memset: artifacts have no C library.
    widths = f'"prefer-vector-width"="{width}" "min-legal-vector-width"="{width}"'
    attributes = f'nounwind noinline "no-builtins" {widths}'
    head = f"define internal void @{kernel.name}({', '.join(parameters)}) {attributes} {{"
    lines = [head, "entry:", *writer.entry, "  br label %body", "body:", *writer.lines, "  ret void", "}", ""]
    return "\n".join(lines)


def _extents(kernel: Kernel) -> str:
    return ", ".join(f"i64 {parameter('x', name)}" for name in kernel.extents)
