"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from symgraph.errors import ExportError


def write_files(
    directory: Path, contents: Mapping[str, bytes], executable: frozenset[str]
) -> dict[str, Path]:
    """Writes all files under temporary names, to the disk, then renames them; makes the directory.

    Raises ExportError with the path and the system's reason, and then leaves no new file behind.
    """
    written: dict[str, Path] = {}
    path = directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            path = directory / name
            temporary = directory / f".{secrets.token_hex(8)}.part"
            written[name] = temporary
            _write(temporary, data, 0o777 if name in executable else 0o666)
        for name, temporary in written.items():
            path = directory / name
            os.replace(temporary, path)
        _synchronize(directory)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot write {str(path)!r}: {_reason(error)}") from error
    finally:
        for temporary in written.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return {name: directory / name for name in contents}


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _synchronize(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
