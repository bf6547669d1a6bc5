"""Figures as people read them: a count with its noun, seconds and bytes in the unit that suits them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 launch`, `3 launches`; `plural` where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`1.20 s`, `3.45 ms` or `12.3 us`."""
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def memory(size: int) -> str:
    """`512 bytes`, `12.5 KiB` or `3.0 MiB`."""
    if size < 2**10:
        return counted(size, "byte")
    return f"{size / 2**10:.1f} KiB" if size < 2**20 else f"{size / 2**20:.1f} MiB"
