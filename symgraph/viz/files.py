"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from symgraph.errors import ExportError


def write_whole(target: Path, data: bytes) -> Path:
    """Write beside the target under a temporary name, then put it in place. Raises ExportError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = target.parent / f".symgraph-{secrets.token_hex(8)}.part"
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # the umask applies
    except (OSError, ValueError) as error:
        raise ExportError(f"draw: cannot write to {str(target.parent)!r}: {error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, target)
    except (OSError, ValueError) as error:
        raise ExportError(f"draw: cannot write {str(target)!r}: {error}") from error
    finally:
        with suppress(OSError):
            os.unlink(name)  # there only if something failed, an interrupt included
    return target
