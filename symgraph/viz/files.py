"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from symgraph.errors import CheckpointError, ExportError
from symgraph.io.atomic import replace_file


def write_whole(target: Path, data: bytes) -> Path:
    """Write the file beside its place and put it there, with its directory. Raises ExportError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, [data])
    except (OSError, ValueError, CheckpointError) as error:
        raise ExportError(f"draw: cannot write {str(target)!r}: {error}") from error
    return target
