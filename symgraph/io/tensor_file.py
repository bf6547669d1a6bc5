"""Arrays and strings in one safetensors file, with a checksum over all of it.

The format (huggingface.co/docs/safetensors): the header's length in 8 bytes, a JSON header with the type,
shape and place of every array, then the arrays' bytes one after the other. It holds no code. Written here
and not by the `safetensors` library because that one silently garbles arrays that are not contiguous, has
no checksum, and needs the file twice in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from symgraph.errors import CheckpointError
from symgraph.io.atomic import replace_file
from symgraph.types import bool_, float32, float64, int32, int64

CODES = {float32: "F32", float64: "F64", int32: "I32", int64: "I64", bool_: "BOOL"}
DTYPES = {code: dtype for dtype, code in CODES.items()}
LENGTH_BYTES = 8
ALIGNMENT = 64  # the arrays start at a multiple of it
LARGEST_HEADER = 32 << 20
MOST_TENSORS = 1 << 16
LONGEST_NAME = 1024
METADATA = "__metadata__"
CHECKSUM = "symgraph.sha256"


class Place(NamedTuple):
    """Where an array stands: bytes start to end behind the header."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int


class Contents(NamedTuple):
    """What a file holds: arrays by name, strings by name."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


def write_file(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays and strings atomically. Raises CheckpointError for what cannot be stored, or OSError."""
    # ascontiguousarray would make scalars 1-d, asarray with an order does not.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    entries: dict[str, Any] = {}
    position = 0
    for name, array in arrays.items():
        _check_storable(path, name, array)
        end = position + array.nbytes
        entries[name] = {
            "dtype": CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        position = end
    parts = [_bytes_of(array) for array in arrays.values()]
    strings = {**metadata, CHECKSUM: _checksum(entries, metadata, parts)}
    header = _dumped({METADATA: strings, **entries})
    header += b" " * (-(LENGTH_BYTES + len(header)) % ALIGNMENT)
    if len(header) > LARGEST_HEADER or len(entries) > MOST_TENSORS:
        _fail(
            path, f"{len(entries)} arrays and a header of {len(header)} bytes are more than a file may hold"
        )
    replace_file(path, [len(header).to_bytes(LENGTH_BYTES, "little"), header, *parts])


def read_file(path: str | os.PathLike[str], verify: bool = True) -> Contents:
    """Read and check a file. verify=False also takes files without symgraph's checksum, from other tools.

    Raises CheckpointError for a truncated, damaged or foreign file; OSError if it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        _fail(path, "expected a file; opening anything else could wait for ever")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, start = _read_header(path, file, size)
        metadata = _metadata_of(path, header)
        places = {name: _place(path, name, entry) for name, entry in header.items()}
        _check_layout(path, places, start, size)
        tensors = {name: _read_array(path, name, place, file) for name, place in places.items()}
    if verify or CHECKSUM in metadata:
        _verify(path, header, metadata, tensors)
    return Contents(tensors, metadata)


def _fail(path: str | os.PathLike[str], problem: str) -> NoReturn:
    raise CheckpointError(f"{Path(path)}: {problem}")


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


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _checksum(entries: Mapping[str, Any], metadata: Mapping[str, str], parts: list[memoryview]) -> str:
    """Over header and payload: a flipped bit in a name or a shape is found as one in a weight is."""
    strings = {key: value for key, value in metadata.items() if key != CHECKSUM}
    digest = hashlib.sha256(_dumped([strings, entries]))
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _read_header(path: Any, file: BufferedReader, size: int) -> tuple[dict[str, Any], int]:
    if size < LENGTH_BYTES:
        _fail(path, f"truncated or foreign: expected {LENGTH_BYTES} bytes at least, the file has {size}")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > LARGEST_HEADER:
        _fail(path, f"not a symgraph file: its header would be {length} bytes, {LARGEST_HEADER} are allowed")
    start = LENGTH_BYTES + length
    if start > size:
        _fail(path, f"truncated: expected {start} bytes at least, the file has {size}")
    text = file.read(length)
    if text.count(b'"data_offsets"') > MOST_TENSORS:  # before it is parsed: parsing costs memory
        _fail(path, f"more than {MOST_TENSORS} arrays")
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{Path(path)}: damaged or foreign: its header is no JSON: {error}") from None
    if not isinstance(header, dict):
        _fail(path, "damaged or foreign: its header is no JSON object")
    return header, start


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _metadata_of(path: Any, header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _fail(path, f"damaged: {METADATA} does not map names to strings")
    return metadata


def _place(path: Any, name: str, entry: Any) -> Place:
    if problem := _name_problem(name):
        _fail(path, f"array {name[:80]!r}: {problem}")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _fail(path, f"array {name!r}: damaged: expected dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        _fail(path, f"array {name!r}: element type {code!r} is not one of {', '.join(DTYPES)}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        _fail(path, f"array {name!r}: damaged: shape {shape!r}, bytes {offsets!r}")
    dtype = DTYPES[code]
    expected = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != expected:
        _fail(path, f"array {name!r}: {code}{shape} needs {expected} bytes, it has {offsets!r}")
    return Place(dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _check_layout(path: Any, places: Mapping[str, Place], start: int, size: int) -> None:
    """Arrays fill the rest of the file: no overlap, no hole, nothing behind them."""
    position = 0
    for name, place in places.items():
        if place.start != position:
            _fail(path, f"array {name!r}: expected to start at byte {position}, starts at {place.start}")
        position = place.end
    if start + position != size:
        _fail(path, f"truncated or damaged: expected {start + position} bytes, the file has {size}")


def _read_array(path: Any, name: str, place: Place, file: BufferedReader) -> np.ndarray:
    array = np.empty(place.shape, place.dtype)
    view = _bytes_of(array)
    if file.readinto(view) != len(view):
        _fail(path, f"array {name!r}: the file ended while it was read")
    if place.dtype == bool_ and array.size and array.view(np.uint8).max() > 1:
        _fail(path, f"array {name!r}: damaged: a bool that is neither 0 nor 1")
    return array


def _verify(path: Any, header: Mapping[str, Any], metadata: dict[str, str], tensors: Any) -> None:
    if CHECKSUM not in metadata:
        _fail(path, "it has no symgraph checksum: made by another tool, or damaged; "
                    "sg.load(path, verify=False) takes its arrays as they are")  # fmt: skip
    parts = [_bytes_of(array) for array in tensors.values()]
    found = _checksum(header, metadata, parts)
    if found != metadata[CHECKSUM]:
        _fail(path, f"damaged: its checksum is {found[:16]}..., expected {metadata[CHECKSUM][:16]}...")
