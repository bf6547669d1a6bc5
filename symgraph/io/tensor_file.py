"""Arrays and a text in one safetensors file, with a checksum over all of it.

The `safetensors` library (the extra `io`, loaded at the first call) writes and reads the format: the header's
length in 8 bytes, a JSON header with the type, shape and place of every array, the arrays' bytes. It holds no
code. Added here is what the library leaves open: limits before anything is parsed, repeated and foreign keys,
bools other than 0 and 1, the checksum, and bytes that are the same at every save.
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
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from symgraph.errors import CheckpointError
from symgraph.io.atomic import replace_file
from symgraph.types import bool_, float32, float64, int32, int64

CODES = {float32: "F32", float64: "F64", int32: "I32", int64: "I64", bool_: "BOOL"}
LENGTH_BYTES = 8
LARGEST_HEADER = 32 << 20
MOST_COMMAS = 1 << 18  # in the header, the text apart; an array takes four or more, so 65,536 arrays
LONGEST_NAME = 1024
METADATA = "__metadata__"
# One entry, "checksum text": the library would write several in another order each time.
OURS = "symgraph"
TEXT = re.compile(rb'"symgraph":"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Contents(NamedTuple):
    """What a file holds: arrays by name, and the text, None in a file of another tool."""

    tensors: dict[str, np.ndarray]
    text: str | None


def write_file(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], text: str) -> None:
    """Write arrays and a text atomically. Raises CheckpointError for what cannot be stored, or OSError."""
    library = _library(path)
    # The library takes the memory as it lies, whatever the strides; ascontiguousarray makes scalars 1-d.
    arrays = {name: np.array(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        _check_storable(path, name, array)
    content = library.save(arrays, {OURS: f"{_checksum(arrays, text)} {text}"})
    _read_header(path, BytesIO(content), len(content))  # what could not be read is not written
    replace_file(path, [content])


def read_file(path: str | os.PathLike[str], verify: bool = True) -> Contents:
    """Read and check a file. verify=False also takes files without symgraph's checksum, from other tools.

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
    sealed = (header.pop(METADATA, None) or {}).get(OURS)
    try:
        found = library.load(content)
    except Exception as error:  # the library's own kind, or what numpy says to a strange shape
        _fail(path, f"damaged or foreign: expected a safetensors file: {error!s:.500}")
    tensors = {name: _sound(path, name, found[name]) for name in header}  # the library's order is random
    if sealed is None and verify:
        _fail(path, "it has no symgraph checksum: made by another tool, or damaged; "
                    "sg.load(path, verify=False) takes its arrays as they are")  # fmt: skip
    return Contents(tensors, None if sealed is None else _verified(path, tensors, sealed))


def _library(path: Any) -> ModuleType:
    try:
        return import_module("safetensors.numpy")
    except ImportError as error:
        problem = "saving and loading need the safetensors library: python -m pip install 'symgraph[io]'"
        raise CheckpointError(f"{Path(path)}: {problem}") from error


def _fail(path: Any, problem: str) -> NoReturn:
    raise CheckpointError(f"{Path(path)}: {problem}") from None


def _check_storable(path: Any, name: str, array: np.ndarray) -> None:
    if array.dtype not in CODES:
        accepted = ", ".join(map(str, CODES))
        _fail(path, f"array {name!r} is {array.dtype}; only {accepted} can be saved")
    if problem := _name_problem(name):
        _fail(path, f"array {name[:80]!r}: {problem}")


def _name_problem(name: Any) -> str:
    if not isinstance(name, str) or not name or name == METADATA:
        return "a name is a non-empty string"
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name)} characters is too long, {LONGEST_NAME} are allowed"
    return "" if name.isprintable() else "a name may only hold printable characters"


def _read_header(path: Any, file: BinaryIO, size: int) -> dict[str, Any]:
    """The header, where it is one that the library may see. Every check comes before its cost."""
    if size < LENGTH_BYTES:
        _fail(path, f"truncated or foreign: expected {LENGTH_BYTES} bytes at least, the file has {size}")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    start = LENGTH_BYTES + length
    if length > LARGEST_HEADER:
        _fail(path, f"not a symgraph file: its header would be {length} bytes, {LARGEST_HEADER} are allowed")
    if start > size:
        _fail(path, f"truncated: expected {start} bytes at least, the file has {size}")
    header = _parsed(path, file.read(length))
    ends = [_end(path, name, entry) for name, entry in header.items() if name != METADATA]
    if start + max(ends, default=0) != size:
        _fail(path, f"truncated or damaged: expected {start + max(ends, default=0)} bytes, the file has {size}")
    return header


def _parsed(path: Any, text: bytes) -> dict[str, Any]:
    if TEXT.sub(b"", text, count=1).count(b",") > MOST_COMMAS:  # parsing takes memory for each value
        _fail(path, f"its header describes more than the {MOST_COMMAS // 4} arrays that are allowed")
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        _fail(path, f"damaged or foreign: its header is no JSON: {error}")
    if not isinstance(header, dict) or not isinstance(header.get(METADATA) or {}, dict):
        _fail(path, f"damaged or foreign: its header or its {METADATA} is no JSON object")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _end(path: Any, name: str, entry: Any) -> int:
    """Where an array's bytes end. Whether sizes, places and shapes fit together is the library's to say."""
    if problem := _name_problem(name):
        _fail(path, f"array {name[:80]!r}: {problem}")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _fail(path, f"array {name!r}: damaged: expected dtype, shape and data_offsets")
    if entry["dtype"] not in CODES.values():
        _fail(path, f"array {name!r}: element type {entry['dtype']!r:.80} is not one of F32, F64, I32, I64, BOOL")
    match entry["data_offsets"]:
        case [int(), int(end)] if 0 <= end < 1 << 63:
            return end
    _fail(path, f"array {name!r}: damaged: its place is {entry['data_offsets']!r:.80}")


def _sound(path: Any, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype == bool_ and array.size and array.view(np.uint8).max() > 1:
        _fail(path, f"array {name!r}: damaged: a bool that is neither 0 nor 1")
    return array


def _checksum(tensors: Mapping[str, np.ndarray], text: str) -> str:
    """Over text, names, types, shapes and bytes: a flipped bit in a name is found as one in a weight is."""
    arrays = sorted(tensors.items())
    described = [[name, CODES[array.dtype], array.shape] for name, array in arrays]
    digest = hashlib.sha256(json.dumps([text, described]).encode())
    for _, array in arrays:
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _verified(path: Any, tensors: Mapping[str, np.ndarray], sealed: Any) -> str:
    expected, _, text = sealed.partition(" ")
    if (found := _checksum(tensors, text)) != expected:
        _fail(path, f"damaged: its checksum is {found[:16]}..., expected {expected[:16]!r}...")
    return text
