"""Applying the relocations of position-independent code, and which of them are left to the loader.

Formulas: S is the symbol's address, A the addend, P the place. After the psABI supplements of x86-64 and
of AArch64 (ELF for the Arm 64-bit Architecture, section 5.7).
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.aot.elf import AARCH64, X86_64
from symgraph.errors import ExportError

PAGE = 4096
# S + A as a whole word: the loader adds the address it chose.
ABSOLUTE = {X86_64: 1, AARCH64: 257}
RELATIVE = {X86_64: 8, AARCH64: 1027}
PAGE_SIZE = {X86_64: 0x1000, AARCH64: 0x10000}

UNEXPECTED = "has no place in position-independent code without imports"

Patch = Callable[[bytearray, int, int, int], None]


def patch_x86_64(kind: int) -> Patch:
    if kind in (2, 4):  # PC32, PLT32
        return lambda image, place, target, at: _store(image, place, target - at, 4)
    if kind == 24:  # PC64
        return lambda image, place, target, at: _store(image, place, target - at, 8)
    raise ExportError(f"relocation {kind} of x86-64 {UNEXPECTED}")


def patch_aarch64(kind: int) -> Patch:
    if kind in (260, 261):  # PREL64, PREL32
        return lambda image, place, target, at: _store(image, place, target - at, 8 if kind == 260 else 4)
    if kind in BRANCHES:
        return lambda image, place, target, at: _branch(image, place, target - at, *BRANCHES[kind])
    if kind in (274, 275):  # ADR_PREL_LO21, ADR_PREL_PG_HI21
        return lambda image, place, target, at: _address(image, place, target, at, kind == 275)
    if kind in LOW_BITS:
        return lambda image, place, target, at: _low_bits(image, place, target, LOW_BITS[kind])
    raise ExportError(f"relocation {kind} of AArch64 {UNEXPECTED}")


# TSTBR14, CONDBR19, JUMP26, CALL26: (width, position) of the offset in words.
BRANCHES = {279: (14, 5), 280: (19, 5), 282: (26, 0), 283: (26, 0)}
# ADD and LDST8, 16, 32, 64, 128 of the low 12 bits: the scale of the immediate.
LOW_BITS = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
PATCHES = {X86_64: patch_x86_64, AARCH64: patch_aarch64}


def _store(image: bytearray, place: int, value: int, size: int) -> None:
    try:
        image[place : place + size] = value.to_bytes(size, "little", signed=True)
    except OverflowError as error:
        raise ExportError("the code is larger than the 2 GiB that its addressing reaches") from error


def _insert(image: bytearray, place: int, bits: int, width: int, position: int) -> None:
    word = int.from_bytes(image[place : place + 4], "little")
    mask = (1 << width) - 1 << position
    word = word & ~mask | bits << position & mask
    image[place : place + 4] = word.to_bytes(4, "little")


def _branch(image: bytearray, place: int, distance: int, width: int, position: int) -> None:
    if not -(1 << width + 1) <= distance < 1 << width + 1:
        raise ExportError("a branch does not reach its target: the code is too large")
    _insert(image, place, distance >> 2, width, position)


def _address(image: bytearray, place: int, target: int, at: int, pages: bool) -> None:
    distance = target // PAGE - at // PAGE if pages else target - at
    if not -(1 << 20) <= distance < 1 << 20:
        raise ExportError("an address does not reach its target: the model is larger than 4 GiB")
    _insert(image, place, distance & 3, 2, 29)
    _insert(image, place, distance >> 2, 19, 5)


def _low_bits(image: bytearray, place: int, target: int, scale: int) -> None:
    _insert(image, place, target % PAGE >> scale, 12, 10)
