"""Extents and the arena's layout as IR: polynomials in the run-time values of the named dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compiler.abi import WORKSPACE_ALIGNMENT
from compiler.llvm.runtime_text import Writer
from compiler.program import Argument, Program, Slot
from symgraph.dimension import Dim, Extent, at_least

DECLARATIONS = (
    "declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)",
    "declare { i64, i1 } @llvm.sadd.with.overflow.i64(i64, i64)",
    "declare i64 @llvm.smax.i64(i64, i64)",
    "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    "declare i64 @llvm.readcyclecounter()",
    "declare i64 @llvm.readsteadycounter()",
)


class Sizes:
    """int64 values of extents, each computed once where it is first asked for.

    So ask for all of them in a block that dominates their uses. `faults` are the i1 values that are true
    where an operation overflowed or an extent that must not be negative is.
    """

    def __init__(self, writer: Writer, dims: Mapping[str, str]):
        self._writer = writer
        self._dims = dims
        self._known: dict[tuple[str, str, str], str] = {}
        self.faults: list[str] = []

    def value(self, extent: Extent) -> str:
        if not isinstance(extent, Dim):
            return str(extent)
        total = "0"
        for monomial, factor in extent.terms:
            term = "1"
            for name in monomial:
                term = self.multiply(term, self._dims[name])
            total = self.add(total, self.multiply(term, str(factor)))
        return total

    def nonnegative(self, extent: Extent) -> str:
        """The value, and a fault if it is below zero."""
        value = self.value(extent)
        if not at_least(extent, 0):
            self.faults.append(self._writer.value(f"icmp slt i64 {value}, 0"))
        return value

    def add(self, left: str, right: str) -> str:
        return left if right == "0" else right if left == "0" else self._checked("sadd", left, right)

    def multiply(self, left: str, right: str) -> str:
        return left if right == "1" else right if left == "1" else self._checked("smul", left, right)

    def aligned(self, size: str) -> str:
        """`size` rounded up to the arena's alignment."""
        if _is_literal(size):
            return str(-(-int(size) // WORKSPACE_ALIGNMENT) * WORKSPACE_ALIGNMENT)
        padded = self.add(size, str(WORKSPACE_ALIGNMENT - 1))
        return self._once("and", padded, f"and i64 {padded}, {-WORKSPACE_ALIGNMENT}")

    def largest(self, values: Iterable[str]) -> str:
        literals, others = [0], []
        for value in dict.fromkeys(values):
            literals.append(int(value)) if _is_literal(value) else others.append(value)
        result = str(max(literals))
        for value in others:
            text = f"call i64 @llvm.smax.i64(i64 {value}, i64 {result})"
            result = self._once("smax", f"{value} {result}", text)
        return result

    def _checked(self, operation: str, left: str, right: str) -> str:
        if _is_literal(left) and _is_literal(right):
            return str(int(left) * int(right) if operation == "smul" else int(left) + int(right))
        key = (operation, left, right)
        if key not in self._known:
            call = f"call {{ i64, i1 }} @llvm.{operation}.with.overflow.i64(i64 {left}, i64 {right})"
            pair = self._writer.value(call)
            self._known[key] = self._writer.value(f"extractvalue {{ i64, i1 }} {pair}, 0")
            self.faults.append(self._writer.value(f"extractvalue {{ i64, i1 }} {pair}, 1"))
        return self._known[key]

    def _once(self, operation: str, operands: str, text: str) -> str:
        key = (operation, operands, "")
        if key not in self._known:
            self._known[key] = self._writer.value(text)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets of the slots in the workspace, in the program's order, and the bytes of all of them."""

    offsets: tuple[str, ...]
    total: str


def emit_layout(sizes: Sizes, slots: Sequence[Slot]) -> Layout:
    """Static slots first, so that their offsets are constants; then those of named dimensions."""
    static = [i for i, slot in enumerate(slots) if all(isinstance(size, int) for size in slot.sizes)]
    dynamic = [i for i in range(len(slots)) if i not in set(static)]
    offsets = [""] * len(slots)
    end = "0"
    for i in (*static, *dynamic):
        offsets[i] = end
        bytes_ = sizes.largest(sizes.nonnegative(size) for size in slots[i].sizes)
        end = sizes.add(end, sizes.aligned(bytes_))
    return Layout(tuple(offsets), end)


def check_arguments(sizes: Sizes, arguments: Iterable[Argument]) -> None:
    """Faults for arguments with a negative extent or more bytes than an int64 holds."""
    for argument in arguments:
        for extent in argument.type.shape:
            sizes.nonnegative(extent)
        sizes.value(argument.type.bytes)


def dim_values(program: Program, names: Sequence[str]) -> dict[str, str]:
    """The IR parameter of each named dimension."""
    return {dim: f"%{name}" for dim, name in zip(program.dims, names, strict=True)}


def _is_literal(value: str) -> bool:
    return not value.startswith("%")
