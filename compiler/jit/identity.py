"""What a program's object code depends on, as bytes; made without emitting the program.

Emitting LLVM text costs far more than looking an entry up, so entries are found by the program itself and
by the source of the code that would emit it.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import pickle
from functools import cache
from pathlib import Path

import compiler
from compiler.program import Program
from symgraph.dimension import Dim

# Everything between a program and its LLVM text.
EMITTER = ("abi.py", "program.py", "llvm", "loop")


def program_identity(program: Program, fast: bool) -> bytes | None:
    """Equal for programs that are emitted alike, in this process or another; None where there is none.

    `fast`: with the entry for CPython. An expression too deep to be walked has no identity.
    """
    emitter = _emitter_hash()
    if emitter is None:
        return None
    output = io.BytesIO()
    pickler = pickle.Pickler(output, protocol=5)
    # A Dim holds its hash, which differs from process to process.
    pickler.dispatch_table = {**copyreg.dispatch_table, Dim: lambda dim: (Dim, (dim.terms,))}
    try:
        pickler.dump((fast, program))
    except RecursionError:
        return None
    return emitter + output.getvalue()


@cache
def _emitter_hash() -> bytes | None:
    """A hash of the emitter's source; None where its files are not to be read."""
    root = Path(compiler.__path__[0])
    digest = hashlib.sha256()
    try:
        for name in EMITTER:
            path = root / name
            for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    except OSError:
        return None
    return digest.digest()
