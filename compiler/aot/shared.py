"""A shared library out of one object file, without a linker.

The object must be position-independent and need nothing from outside. Addresses in the file equal offsets:
one read-only segment (headers, names, constants), one executable, one that the loader writes pointers into
and then protects.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from compiler.aot.elf import (
    ALLOC,
    DYNSYM,
    EXECUTE,
    FILE_HEADER,
    FUNCTION,
    GLOBAL,
    MAGIC,
    RELA,
    RELOCATION,
    SECTION_HEADER,
    SHARED,
    SYMBOL,
    WRITE,
    ElfFile,
    Section,
    Symbol,
)
from compiler.aot.relocate import ABSOLUTE, PAGE_SIZE, PATCHES, RELATIVE
from symgraph.errors import ExportError

PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
LOAD, DYNAMIC, STACK, RELRO = 1, 2, 0x6474E551, 0x6474E552
READ, READ_WRITE, READ_EXECUTE = 4, 6, 5
PROGBITS, STRTAB, HASH, DYNAMIC_SECTION = 1, 3, 5, 6
# What is protected must be mapped on machines with the smallest pages too.
SMALLEST_PAGE = 0x1000
HEADERS = FILE_HEADER.size + 6 * PROGRAM_HEADER.size
# Tags of the dynamic table.
TAGS = {"HASH": 4, "STRTAB": 5, "SYMTAB": 6, "RELA": 7, "RELASZ": 8, "RELAENT": 9, "STRSZ": 10, "SYMENT": 11}
SONAME, RELACOUNT, FLAGS, BIND_NOW = 14, 0x6FFFFFF9, 30, 8
UNWIND = ".eh_frame"  # our code neither throws nor is thrown through


@dataclass
class _Part:
    """A section of the library: `place` is its offset and address."""

    name: str
    kind: int
    flags: int
    alignment: int
    data: bytearray
    link: int = 0
    info: int = 0
    entry_size: int = 0
    place: int = 0


@dataclass
class _Image:
    """What is being laid out. `places` maps sections of the object to a part and an offset in it."""

    parts: list[_Part] = field(default_factory=list)
    places: dict[int, tuple[_Part, int]] = field(default_factory=dict)
    end: int = HEADERS

    def add(self, part: _Part) -> _Part:
        self.end = _align(self.end, part.alignment)
        part.place = self.end
        self.end += len(part.data)
        self.parts.append(part)
        return part

    def new_page(self, size: int) -> int:
        self.end = _align(self.end, size)
        return self.end


def shared_library(elf: ElfFile, library_name: str) -> bytes:
    """The library's bytes; it exports the object's global symbols under SONAME `library_name`.

    Raises ExportError for another machine, for undefined symbols and for writable data.
    """
    if elf.machine not in PATCHES:
        raise ExportError(f"shared libraries are written for x86-64 and AArch64, not machine {elf.machine}")
    if elf.undefined:
        raise ExportError(f"undefined symbols: {', '.join(elf.undefined)}")
    return _Writer(elf, library_name).library()


class _Writer:
    def __init__(self, elf: ElfFile, library_name: str):
        self._elf = elf
        self._image = _Image()
        self._page = PAGE_SIZE[elf.machine]
        self._symbols = [s for s in elf.exported if s.kind == FUNCTION]
        self._strings = bytearray(b"\0")
        self._soname = self._string(library_name)
        self._names = [self._string(symbol.name) for symbol in self._symbols]

    def library(self) -> bytes:
        image = self._image
        pointers = self._pointers()
        hashes = image.add(_Part(".hash", HASH, ALLOC, 8, _hash_table(self._symbols), link=2, entry_size=4))
        table = bytearray(SYMBOL.size * (len(self._symbols) + 1))
        symbols = image.add(_Part(".dynsym", DYNSYM, ALLOC, 8, table, 3, 1, SYMBOL.size))
        strings = image.add(_Part(".dynstr", STRTAB, ALLOC, 1, self._strings))
        rela = bytearray(RELOCATION.size * pointers)
        relocations = image.add(_Part(".rela.dyn", RELA, ALLOC, 8, rela, 2, 0, RELOCATION.size))
        self._place(".rodata", 0, ALLOC)
        code = image.new_page(self._page)
        text = self._place(".text", EXECUTE, ALLOC | EXECUTE)
        data = image.new_page(self._page)
        self._place(".data.rel.ro", WRITE, ALLOC | WRITE)
        dynamic = image.add(_Part(".dynamic", DYNAMIC_SECTION, ALLOC | WRITE, 8, bytearray(), 3, 0, 16))
        dynamic.data += self._dynamic(hashes, strings, symbols, relocations)
        image.end += len(dynamic.data)
        symbols.data[SYMBOL.size :] = self._symbol_table(image.parts.index(text) + 1)
        relocations.data[:] = self._relocate()
        return self._file(code, data, dynamic)

    def _place(self, name: str, wanted: int, flags: int) -> _Part:
        """One part of all the object's sections that are loaded with these permissions."""
        found = [(i, s) for i, s in enumerate(self._elf.sections) if _is_loaded(s)]
        chosen = [(i, s) for i, s in found if s.flags & (WRITE | EXECUTE) == wanted]
        alignment = max((s.alignment for _, s in chosen), default=16)
        part = self._image.add(_Part(name, PROGBITS, flags, alignment, bytearray()))
        for index, section in chosen:
            if wanted == WRITE and not section.name.startswith(".data.rel.ro") and section.data:
                raise ExportError(f"section {section.name} is writable: exported code has no state")
            part.data += bytes(-len(part.data) % section.alignment)
            self._image.places[index] = part, len(part.data)
            part.data += section.data
        self._image.end = part.place + len(part.data)
        return part

    def _pointers(self) -> int:
        """How many words the loader must adjust."""
        kind = ABSOLUTE[self._elf.machine]
        return sum(r.kind == kind for s in self._elf.sections if _is_loaded(s) for r in s.relocations)

    def _relocate(self) -> bytes:
        """Patches what is known now; the rows of what the loader does, words that point into the library."""
        absolute, relative = ABSOLUTE[self._elf.machine], RELATIVE[self._elf.machine]
        rows = []
        for index, (part, start) in self._image.places.items():
            section = self._elf.sections[index]
            for relocation in section.relocations:
                at = part.place + start + relocation.offset
                target = self._address(self._elf.symbols[relocation.symbol]) + relocation.addend
                if relocation.kind == absolute:
                    if not section.flags & WRITE:
                        raise ExportError(f"section {section.name} holds a pointer but is not writable")
                    rows.append(RELOCATION.pack(at, relative, target))
                else:
                    patch = PATCHES[self._elf.machine](relocation.kind)
                    patch(part.data, at - part.place, target, at)
        return b"".join(rows)

    def _address(self, symbol: Symbol) -> int:
        if symbol.section not in self._image.places:
            raise ExportError(f"symbol {symbol.name!r} lies in no section that is loaded")
        part, start = self._image.places[symbol.section]
        return part.place + start + symbol.value

    def _symbol_table(self, text_index: int) -> bytes:
        rows = []
        for name, symbol in zip(self._names, self._symbols, strict=True):
            info = GLOBAL << 4 | symbol.kind
            rows.append(SYMBOL.pack(name, info, 0, text_index, self._address(symbol), symbol.size))
        return b"".join(rows)

    def _dynamic(self, hashes: _Part, strings: _Part, symbols: _Part, relocations: _Part) -> bytes:
        count = len(relocations.data) // RELOCATION.size
        values = {
            "HASH": hashes.place, "STRTAB": strings.place, "STRSZ": len(strings.data),
            "SYMTAB": symbols.place, "SYMENT": SYMBOL.size, "RELA": relocations.place,
            "RELASZ": len(relocations.data), "RELAENT": RELOCATION.size,
        }
        rows = [(SONAME, self._soname), *((TAGS[name], value) for name, value in values.items())]
        rows += [(RELACOUNT, count), (FLAGS, BIND_NOW), (0, 0)]
        return b"".join(struct.pack("<QQ", *row) for row in rows)

    def _string(self, text: str) -> int:
        offset = len(self._strings)
        self._strings += text.encode() + b"\0"
        return offset

    def _file(self, code: int, data: int, dynamic: _Part) -> bytes:
        image = self._image
        segments = [
            (LOAD, READ, 0, image.parts[4].place + len(image.parts[4].data), self._page),
            (LOAD, READ_EXECUTE, code, len(image.parts[5].data), self._page),
            (LOAD, READ_WRITE, data, image.end - data, self._page),
            (DYNAMIC, READ_WRITE, dynamic.place, len(dynamic.data), 8),
            (RELRO, READ, data, _align(image.end, SMALLEST_PAGE) - data, 1),
            (STACK, READ_WRITE, 0, 0, 16),
        ]
        names = b"\0" + b"".join(part.name.encode() + b"\0" for part in image.parts) + b".shstrtab\0"
        strings = _Part(".shstrtab", STRTAB, 0, 1, bytearray(names), place=image.end)
        rows = [bytes(SECTION_HEADER.size)]
        rows += [_section_row(p, names.index(f"\0{p.name}\0".encode()) + 1) for p in (*image.parts, strings)]
        table = _align(image.end + len(names), 8)
        output = bytearray(table)
        output[: FILE_HEADER.size] = self._header(table, len(segments), len(rows))
        for number, (kind, flags, place, size, alignment) in enumerate(segments):
            row = PROGRAM_HEADER.pack(kind, flags, place, place, place, size, size, alignment)
            start = FILE_HEADER.size + number * PROGRAM_HEADER.size
            output[start : start + len(row)] = row
        for part in (*image.parts, strings):
            output[part.place : part.place + len(part.data)] = part.data
        return bytes(output) + b"".join(rows)

    def _header(self, table: int, segments: int, sections: int) -> bytes:
        return FILE_HEADER.pack(
            MAGIC.ljust(16, b"\0"), SHARED, self._elf.machine, 1, 0, FILE_HEADER.size, table, 0,
            FILE_HEADER.size, PROGRAM_HEADER.size, segments, SECTION_HEADER.size, sections, sections - 1,
        )


def _section_row(part: _Part, name: int) -> bytes:
    address = part.place if part.flags & ALLOC else 0
    return SECTION_HEADER.pack(
        name, part.kind, part.flags, address, part.place, len(part.data), part.link, part.info,
        part.alignment, part.entry_size,
    )


def _is_loaded(section: Section) -> bool:
    return bool(section.flags & ALLOC) and section.name != UNWIND


def _hash_table(symbols: list[Symbol]) -> bytearray:
    """System V ABI, chapter 5, "Hash Table": buckets, then chains of symbol numbers."""
    buckets = [0] * max(len(symbols), 1)
    chains = [0] * (len(symbols) + 1)
    for number, symbol in enumerate(symbols, 1):
        bucket = _hash(symbol.name) % len(buckets)
        chains[number], buckets[bucket] = buckets[bucket], number
    words = [len(buckets), len(chains), *buckets, *chains]
    return bytearray(struct.pack(f"<{len(words)}I", *words))


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
