"""Object code on disk, so that a program compiled once starts at once.

An entry is trusted only if its checksum, its key and its length agree; anything else is compiled anew and
replaced. Everything here may fail - no home, full disk, read-only folder - and then simply is no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from compiler.llvm.engine import versions
from compiler.llvm.object import compile_module
from compiler.llvm.target import Target

FORMAT = b"symgraph object 1\n"
SUFFIX = ".object"
LARGEST_CACHE = 512 * 1024 * 1024
# Entries are counted after this many writes of one process; counting reads the whole folder.
WRITES_BETWEEN_COUNTS = 32

_writes = 0


def compiled(
    emit: Callable[[], str], target: Target, cache: bool, identity: bytes | None = None
) -> tuple[bytes, bool]:
    """The object code of the module that `emit` writes, and whether it came from the disk.

    `identity` determines the module without writing it; None: its text does.
    """
    folder = directory() if cache else None
    if folder is None:
        return compile_module(emit(), target), False
    key = key_of(identity or emit().encode(), target)
    found = read(folder, key)
    if found is not None:
        return found, True
    code = compile_module(emit(), target)
    write(folder, key, code)
    return code, False


def directory() -> Path | None:
    """Where entries are kept; None where there is no cache.

    SYMGRAPH_CACHE=0 switches it off; SYMGRAPH_CACHE_DIR, else XDG_CACHE_HOME/symgraph, else
    ~/.cache/symgraph.
    """
    if os.environ.get("SYMGRAPH_CACHE") == "0":
        return None
    chosen = os.environ.get("SYMGRAPH_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base) / "symgraph" if base else Path.home() / ".cache" / "symgraph"
    except RuntimeError:
        return None


def key_of(identity: bytes, target: Target) -> str:
    """A hash of all that the object code depends on."""
    digest = hashlib.sha256(FORMAT)
    texts = (versions(), target.triple, target.cpu, target.features, f"{target.l1} {target.l2}")
    for data in (*(text.encode() for text in texts), identity):
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def read(folder: Path, key: str) -> bytes | None:
    """The object code stored under a key, or None where there is none that can be trusted."""
    path = folder / f"{key}{SUFFIX}"
    try:
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    start = len(_header(key, b""))
    code = data[start:]
    if data[:start] != _header(key, code):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the oldest use is removed first
    return code


def write(folder: Path, key: str, code: bytes) -> None:
    """Stores object code: all of it under its name, or nothing."""
    global _writes
    temporary = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(suffix=".part", dir=folder)
        with open(descriptor, "wb") as file:
            file.write(_header(key, code) + code)
        os.replace(temporary, folder / f"{key}{SUFFIX}")
        temporary = ""
    except (OSError, ValueError):
        pass
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    _writes += 1
    if _writes % WRITES_BETWEEN_COUNTS == 1:
        shrink(folder, LARGEST_CACHE)


def shrink(folder: Path, largest: int) -> None:
    """Removes the entries used longest ago until the rest has at most `largest` bytes."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((SUFFIX, ".part")):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= largest:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size


def _header(key: str, code: bytes) -> bytes:
    return b"".join((FORMAT, key.encode(), len(code).to_bytes(8, "little"), hashlib.sha256(code).digest()))


