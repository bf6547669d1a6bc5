"""Reading ELF: what a relocatable object holds, and the names a shared library gives away.

64-bit little-endian files only. Layouts are those of the System V ABI, chapter 4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from symgraph.errors import ExportError

MAGIC = b"\x7fELF\x02\x01\x01"
X86_64, AARCH64 = 62, 183
RELOCATABLE, SHARED = 1, 3
SYMTAB, RELA, NOBITS, DYNSYM = 2, 4, 8, 11
WRITE, ALLOC, EXECUTE = 1, 2, 4
GLOBAL, WEAK = 1, 2
UNDEFINED = 0
FUNCTION = 2

FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")


@dataclass(frozen=True, slots=True)
class Relocation:
    """At `offset` of its section, of the machine's `kind`, towards a symbol plus `addend`."""

    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    kind: int
    flags: int
    alignment: int
    data: bytes
    relocations: tuple[Relocation, ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    """`section` is an index into the sections, 0 where the symbol is undefined."""

    name: str
    binding: int
    kind: int
    section: int
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class ElfFile:
    machine: int
    kind: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    @property
    def exported(self) -> tuple[Symbol, ...]:
        """Global symbols that are defined here, by name."""
        found = [s for s in self.symbols if s.binding in (GLOBAL, WEAK) and s.section != UNDEFINED]
        return tuple(sorted(found, key=lambda symbol: symbol.name))

    @property
    def undefined(self) -> tuple[str, ...]:
        return tuple(sorted(s.name for s in self.symbols if s.section == UNDEFINED and s.name))


def is_elf64(data: bytes) -> bool:
    return data.startswith(MAGIC)


def read_elf(data: bytes) -> ElfFile:
    """Sections and symbols (the dynamic ones of a library). Raises ExportError for other files."""
    if not is_elf64(data):
        raise ExportError("not a 64-bit little-endian ELF file")
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ExportError(f"damaged ELF file: {error}") from error


def _read(data: bytes) -> ElfFile:
    header = FILE_HEADER.unpack_from(data)
    kind, machine, table, count, names = header[1], header[2], header[6], header[12], header[13]
    rows = [SECTION_HEADER.unpack_from(data, table + SECTION_HEADER.size * i) for i in range(count)]
    strings = _contents(data, rows[names]) if rows else b""
    relocations: dict[int, tuple[Relocation, ...]] = {
        row[7]: _relocations(_contents(data, row)) for row in rows if row[1] == RELA and kind == RELOCATABLE
    }
    sections = tuple(
        Section(
            name=_string(strings, row[0]),
            kind=row[1],
            flags=row[2],
            alignment=max(row[8], 1),
            data=_contents(data, row),
            relocations=relocations.get(i, ()),
        )
        for i, row in enumerate(rows)
    )
    wanted = SYMTAB if kind == RELOCATABLE else DYNSYM
    symbols = tuple(
        symbol
        for row in rows
        if row[1] == wanted
        for symbol in _symbols(_contents(data, row), _contents(data, rows[row[6]]))
    )
    return ElfFile(machine, kind, sections, symbols)


def _contents(data: bytes, row: tuple[int, ...]) -> bytes:
    """A section's bytes; zeros for one that takes no room in the file."""
    offset, size = row[4], row[5]
    if row[1] == NOBITS:
        return bytes(size)
    if offset + size > len(data):
        raise IndexError(f"a section ends at byte {offset + size} of {len(data)}")
    return data[offset : offset + size]


def _relocations(data: bytes) -> tuple[Relocation, ...]:
    return tuple(
        Relocation(offset, info & 0xFFFFFFFF, info >> 32, addend)
        for offset, info, addend in RELOCATION.iter_unpack(data)
    )


def _symbols(data: bytes, strings: bytes) -> list[Symbol]:
    return [
        Symbol(_string(strings, name), info >> 4, info & 15, section, value, size)
        for name, info, _, section, value, size in SYMBOL.iter_unpack(data)
    ]


def _string(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode() if strings else ""
