"""Static libraries: the `ar` format as GNU writes it, with the index of symbols that linkers want."""

from __future__ import annotations

import struct
from collections.abc import Sequence

MAGIC = b"!<arch>\n"
LONGEST_NAME = 15


def archive(member: str, data: bytes, symbols: Sequence[str]) -> bytes:
    """An archive of one object that defines these global symbols. Equal inputs give equal bytes."""
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    index_size = 4 + 4 * len(symbols) + len(names)
    long_names = b"" if len(member) <= LONGEST_NAME else member.encode() + b"/\n"
    offset = len(MAGIC) + 60 + _even(index_size) + (60 + _even(len(long_names)) if long_names else 0)
    index = struct.pack(f">{len(symbols) + 1}I", len(symbols), *[offset] * len(symbols)) + names
    parts = [MAGIC, _member("/", index)]
    if long_names:
        parts.append(_member("//", long_names))
    parts.append(_member("/0" if long_names else f"{member}/", data))
    return b"".join(parts)


def _member(name: str, data: bytes) -> bytes:
    """A header of 60 characters (no time, no owner), then the data on an even boundary."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)


def _even(size: int) -> int:
    return size + size % 2
