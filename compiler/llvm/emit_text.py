"""The text of one LLVM function while it is written: lines, fresh names, blocks, declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compiler.llvm.target import Target


class Writer:
    """Appends instructions. Allocas and strides go to `entry`, which runs before everything else.

    `lanes` is the width of the vector loop being written (0 outside of one), `mask` the lanes that
    run (None: all), and `sure` tells that at least one of them does. What is written never calls libm:
    `target` tells which operations are instructions.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.label = "body"
        self.lanes = 0
        self.mask: str | None = None
        self.sure = True
        self.streams = False
        self._declarations: dict[str, None] = {}
        self._count = 0

    @property
    def declarations(self) -> tuple[str, ...]:
        return tuple(self._declarations)

    def fresh(self, prefix: str = "v") -> str:
        self._count += 1
        return f"%{prefix}{self._count}"

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def op(self, text: str) -> str:
        """Writes `%fresh = text` and returns the name."""
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def early(self, text: str) -> str:
        """Like `op`, in the entry block: operands may be parameters and other early values only."""
        name = self.fresh("e")
        self.entry.append(f"  {name} = {text}")
        return name

    def call(self, result: str, function: str, arguments: list[tuple[str, str]], flags: str = "") -> str:
        """Calls an intrinsic with (type, value) arguments, declaring it once."""
        text = self._call(result, function, arguments, flags)
        if result == "void":
            self.line(text)
            return ""
        return self.op(text)

    def _call(self, result: str, function: str, arguments: list[tuple[str, str]], flags: str) -> str:
        types = ", ".join(kind for kind, _ in arguments)
        self._declarations[f"declare {result} @{function}({types})"] = None
        operands = ", ".join(f"{kind} {value}" for kind, value in arguments)
        return f"call {flags}{result} @{function}({operands})"

    def start_block(self, name: str) -> None:
        """Begins a block; `name` is a fresh %name."""
        self.label = name[1:]
        self.lines.append(f"{self.label}:")

    def jump(self, name: str) -> None:
        self.line(f"br label {name}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.line(f"br i1 {condition}, label {yes}, label {no}")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """What is written inside runs only where the scalar condition holds."""
        inside, after = self.fresh("then"), self.fresh("after")
        self.branch(condition, inside, after)
        self.start_block(inside)
        yield
        self.jump(after)
        self.start_block(after)

    def loop(self, start: str, stop: str, step: int, body: Callable[[str], None]) -> None:
        """`for i in range(start, stop, step): body(i)` on i64 values."""
        before = f"%{self.label}"
        head, inside, after = self.fresh("head"), self.fresh("loop"), self.fresh("done")
        index, following = self.fresh("i"), self.fresh("next")
        self.jump(head)
        self.start_block(head)
        phi_at = len(self.lines)
        self.line("")
        more = self.fresh("more")
        self.line(f"{more} = icmp slt i64 {index}, {stop}")
        self.branch(more, inside, after)
        self.start_block(inside)
        body(index)
        self.line(f"{following} = add nsw i64 {index}, {step}")
        latch = f"%{self.label}"
        self.jump(head)
        self.lines[phi_at] = f"  {index} = phi i64 [ {start}, {before} ], [ {following}, {latch} ]"
        self.start_block(after)

    @contextmanager
    def running(self, lanes: int, mask: str | None, sure: bool) -> Iterator[None]:
        """Sets `lanes`, `mask` and `sure` for what is written inside."""
        saved = self.lanes, self.mask, self.sure
        self.lanes, self.mask, self.sure = lanes, mask, sure
        yield
        self.lanes, self.mask, self.sure = saved
