"""Arrays and a text in one safetensors file, with a checksum over all of it.

The `safetensors` library (the extra `io`, loaded at the first call) writes and reads the format, which holds
no code. Added here is what the library leaves open: limits before anything is parsed, repeated and surplus
keys, bools other than 0 and 1, the checksum, and that equal contents make equal files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

import numpy as np

from symgraph.errors import CheckpointError
from symgraph.io.atomic import replace_file
from symgraph.types import bool_, float32, float64, int32, int64

CODES = {float32: "F32", float64: "F64", int32: "I32", int64: "I64", bool_: "BOOL"}
ACCEPTED = ", ".join(map(str, CODES))
LENGTH_BYTES = 8  # the header's length, little-endian; then the header, as JSON; then the arrays' bytes
LARGEST_HEADER = 32 << 20
MOST_COMMAS = 1 << 18  # in the header, the text apart; an array takes four or more, so 65,536 arrays
LONGEST_NAME = 1024
METADATA = "__metadata__"
# One entry, "checksum text": the library writes several in another order each time.
SEALED = "symgraph"
TEXT = re.compile(rb'"symgraph":"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def write_file(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], text: str) -> None:
    """Write arrays and a text atomically. Raises CheckpointError for what cannot be stored, or OSError."""
    library = _library(path)
    # The library takes memory as it lies, whatever the strides; ascontiguousarray would make scalars 1-d.
    arrays = {name: np.array(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        _check_array(path, name, array)
    content = library.save(arrays, {SEALED: f"{_checksum(arrays, text)} {text}"})
    _read_header(path, BytesIO(content), len(content))  # what could not be read is not written
    replace_file(path, [content])


def read_file(path: str | os.PathLike[str], verify: bool = True) -> tuple[dict[str, np.ndarray], str | None]:
    """(arrays, text) of a checked file. verify=False also takes files of other tools; their text is None.

    Takes about twice the file's size in memory. Raises CheckpointError for a truncated, damaged or foreign
    file, or without the library; OSError if the file cannot be read.
    """
    library = _library(path)
    if not stat.S_ISREG(os.stat(path).st_mode):
        _fail(path, "expected a file; opening anything else could wait for ever")
    with open(path, "rb") as file:
        header = _read_header(path, file, os.fstat(file.fileno()).st_size)
        file.seek(0)
        content = file.read()
    try:
        found = library.load(content)
    except Exception as error:  # the library's own kind, KeyError for a type, or what numpy says to a shape
        problem = f"expected a safetensors file of {ACCEPTED}: {type(error).__name__}: {error!s:.500}"
        _fail(path, f"damaged or foreign: {problem}")
    sealed = (header.pop(METADATA, None) or {}).get(SEALED)
    tensors = {name: found[name] for name in header}  # the library's order is another each time
    for name, array in tensors.items():
        _check_array(path, name, array)
    if sealed is None and verify:
        _fail(path, "it has no symgraph checksum: made by another tool, or damaged; "
                    "sg.load(path, verify=False) takes its arrays as they are")  # fmt: skip
    return tensors, None if sealed is None else _verified(path, tensors, sealed)


def _library(path: Any) -> ModuleType:
    try:
        return import_module("safetensors.numpy")
    except ImportError as error:
        needed = "saving and loading need the safetensors library: python -m pip install 'symgraph[io]'"
        raise CheckpointError(f"{Path(path)}: {needed}") from error


def _fail(path: Any, problem: str) -> NoReturn:
    raise CheckpointError(f"{Path(path)}: {problem}") from None


def _check_array(path: Any, name: str, array: np.ndarray) -> None:
    if array.dtype not in CODES:
        _fail(path, f"array {name[:80]!r} is {array.dtype}; only {ACCEPTED} can be saved and loaded")
    if not name or not name.isprintable() or name == METADATA:
        _fail(path, f"array {name[:80]!r}: a name is not empty and holds printable characters only")
    if len(name) > LONGEST_NAME:
        _fail(path, f"array {name[:80]!r}...: its name is too long, {LONGEST_NAME} characters are allowed")
    if array.dtype == bool_ and array.size and array.view(np.uint8).max() > 1:
        _fail(path, f"array {name!r}: damaged: a bool that is neither 0 nor 1")


def _read_header(path: Any, file: BinaryIO, size: int) -> dict[str, Any]:
    """The header, where it is one that the library may see. Each check comes before what it bounds."""
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > LARGEST_HEADER:
        _fail(path, f"not a symgraph file: its header would be {length} bytes, {LARGEST_HEADER} are allowed")
    start = LENGTH_BYTES + length
    if start > size:
        _fail(path, f"truncated or foreign: expected {start} bytes at least, the file has {size}")
    header = _parsed(path, file.read(length))
    ends = [_end(path, name, entry) for name, entry in header.items() if name != METADATA]
    expected = start + max(ends, default=0)
    if expected != size or ends != sorted(ends):
        _fail(path, f"truncated or damaged: expected {expected} bytes, arrays in order; the file has {size}")
    return header


def _parsed(path: Any, text: bytes) -> dict[str, Any]:
    sealed = TEXT.search(text)
    inside = text.count(b",", *sealed.span()) if sealed else 0
    if text.count(b",") - inside > MOST_COMMAS:  # parsing takes memory for each value
        _fail(path, f"its header describes more than the {MOST_COMMAS // 4} arrays that are allowed")
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        _fail(path, f"damaged or foreign: its header is no JSON: {error}")
    if not isinstance(header, dict):
        _fail(path, "damaged or foreign: its header is no JSON object")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _end(path: Any, name: str, entry: Any) -> int:
    """Where an array's bytes end. Whether type, shape and place fit together is the library's to say."""
    match entry:
        case {"dtype": _, "shape": _, "data_offsets": [_, int(end)]} if len(entry) == 3 and 0 <= end < 2**63:
            return end
    _fail(path, f"array {name[:80]!r}: damaged: expected dtype, shape and two data_offsets")


def _checksum(tensors: Mapping[str, np.ndarray], text: str) -> str:
    """Over text, names, types, shapes and bytes: a flipped bit in a name is found as one in a weight is."""
    arrays = sorted(tensors.items())
    described = [[name, CODES[array.dtype], array.shape] for name, array in arrays]
    digest = hashlib.sha256(json.dumps([text, described]).encode())
    for _, array in arrays:
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _verified(path: Any, tensors: Mapping[str, np.ndarray], sealed: str) -> str:
    expected, _, text = sealed.partition(" ")
    found = _checksum(tensors, text)
    if found != expected:
        _fail(path, f"damaged: its checksum is {found[:16]}..., expected {expected[:16]}...")
    return text
