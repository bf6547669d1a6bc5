"""Files that are either the old ones or the new ones, whenever the power goes."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from symgraph.errors import CheckpointError

LONGEST_NAME = 200  # file systems end at 255 bytes; the rest is for the temporary name's ending


def replace_file(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Write the parts to a temporary file beside `path`, flush it to the disk, and rename it.

    Raises OSError with the path (no space, no permission, no such directory); the old file is then as it
    was and the temporary one is gone. A symbolic link is followed. Leftovers of killed writers are removed.
    """
    target = Path(os.path.realpath(path))
    _check_target(target)
    _sweep(target)
    temporary = target.with_name(f"{_prefix(target)}{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _write(temporary, parts)
        os.replace(temporary, target)
        _flush_directory(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise CheckpointError(f"{target}: expected a file to replace, there is a {_kind_of(target)}")


def _kind_of(path: Path) -> str:
    mode = os.stat(path).st_mode
    kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _prefix(target: Path) -> str:
    name = os.fsencode(target.name)[:LONGEST_NAME].decode(errors="ignore")
    return f".{name}."


def _write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    # 0o666 lets the umask decide, as for any file the user writes.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(handle, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(directory: Path) -> None:
    """The rename itself reaches the disk with the directory's entry (not every system can open one)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(target: Path) -> None:
    """Remove temporary files for this target whose writers are no more."""
    prefix = _prefix(target)
    with contextlib.suppress(OSError):
        for entry in os.scandir(target.parent):
            middle = entry.name.removeprefix(prefix).removesuffix(".tmp")
            writer = middle.split("-")[0]
            if len(middle) != len(entry.name) - len(prefix) - 4 or not writer.isdecimal():
                continue
            if not _alive(int(writer)):
                os.unlink(entry.path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, but not ours to signal
        return True
    return True
