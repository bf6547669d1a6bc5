"""Loops of a program as IR: counters, and the addresses of rows, which move with the steps.

A row has an entry in NAME_run's table of places like any memory, so what a launch does is the same in a loop:
only the entry changes from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.llvm.entry_extents import Sizes
from compiler.llvm.entry_launch import Places
from compiler.llvm.runtime_text import Writer
from compiler.program import Place, Program


class Repeats:
    """Writes what stands around and between the launches of loops. Made before anything branches."""

    def __init__(self, writer: Writer, program: Program, places: Places, sizes: Sizes):
        self._writer, self._program, self._places = writer, program, places
        self._lengths = [sizes.nonnegative(r.length) for r in program.repeats]
        self._moves = [(sizes.value(row.offset), sizes.value(row.stride)) for row in program.rows]
        self._counters = [writer.value("alloca i64, align 8") for _ in program.repeats]
        self._labels: dict[int, tuple[str, str]] = {}
        self._first = self._grouped({n: r.first for n, r in enumerate(program.repeats)}, outer_first=True)
        self._last = self._grouped({n: r.last for n, r in enumerate(program.repeats)}, outer_first=False)

    def _grouped(self, ends: Mapping[int, int], outer_first: bool) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number in reversed(ends) if outer_first else ends:
            found.setdefault(ends[number], []).append(number)
        return found

    def before(self, position: int) -> None:
        """What ends and begins where this launch is next."""
        for number in self._last.get(position, ()):
            self._end(number)
        for number in self._first.get(position, ()):
            self._begin(number)

    def _begin(self, number: int) -> None:
        writer, counter = self._writer, self._counters[number]
        head, body, done = (writer.label(stem) for stem in ("step", "repeat", "repeated"))
        self._labels[number] = (head, done)
        writer.line(f"store i64 0, ptr {counter}")
        writer.jump(head)
        writer.block(head)
        at = writer.value(f"load i64, ptr {counter}")
        writer.branch(writer.value(f"icmp slt i64 {at}, {self._lengths[number]}"), body, done)
        writer.block(body)
        if self._program.repeats[number].reverse:
            last = writer.value(f"sub i64 {self._lengths[number]}, 1")
            at = writer.value(f"sub i64 {last}, {at}")
        self.place_rows(number, at)

    def _end(self, number: int) -> None:
        writer, counter = self._writer, self._counters[number]
        head, done = self._labels[number]
        at = writer.value(f"load i64, ptr {counter}")
        writer.line(f"store i64 {writer.value(f'add i64 {at}, 1')}, ptr {counter}")
        writer.jump(head)
        writer.block(done)

    def place_rows(self, repeat: int | None, at: str = "0") -> None:
        """Enter the addresses of the rows that move with a loop; None: of those that do not move."""
        for number, row in enumerate(self._program.rows):
            if row.repeat != repeat:
                continue
            offset, stride = self._moves[number]
            moved = self._sum(offset, self._product(stride, at))
            bases = [self._load(base) for base in row.bases]
            address = self._chosen(bases, moved)
            self._writer.line(f"store ptr {address}, ptr {self._entry(Place('row', number))}")

    def _chosen(self, bases: Sequence[str], moved: str) -> str:
        writer = self._writer
        if len(bases) == 1:
            return writer.value(f"getelementptr i8, ptr {bases[0]}, i64 {moved}")
        odd = writer.value(f"trunc i64 {moved} to i1")
        return writer.value(f"select i1 {odd}, ptr {bases[1]}, ptr {bases[0]}")

    def _product(self, left: str, right: str) -> str:
        return "0" if "0" in (left, right) else self._writer.value(f"mul i64 {left}, {right}")

    def _sum(self, left: str, right: str) -> str:
        return left if right == "0" else self._writer.value(f"add i64 {left}, {right}")

    def _load(self, place: Place) -> str:
        return self._writer.value(f"load ptr, ptr {self._entry(place)}")

    def _entry(self, place: Place) -> str:
        return self._writer.value(f"getelementptr ptr, ptr %places, i64 {self._places.number(place)}")
