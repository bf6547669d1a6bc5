"""`sg.save` and `sg.load`: one file for a state dict, a nested dict of them, or a graph."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.errors import CheckpointError
from symgraph.graph import Graph
from symgraph.io.graph_reader import graph_from_json
from symgraph.io.graph_writer import Json, graph_to_json
from symgraph.io.tensor_file import read_file, write_file
from symgraph.value import Number

Path_ = str | os.PathLike[str]
FORMAT = 1  # raised when files change in a way that older readers would misread
FOREIGN = "arrays of another tool"


def save(path: Path_, value: Any) -> None:
    """Write a Graph, a module, an optimizer, or a dict of arrays (nested; with numbers, strings, None too).

    Modules and optimizers are stored as their state dict. The file is written beside `path` and renamed,
    so `path` always holds the old or the new one. Raises CheckpointError for what cannot be stored.
    """
    if isinstance(value, Graph):
        content, tensors = graph_to_json(value)
        write_document(path, "graph", content, tensors)
        return
    tensors = {}
    content = _tree_to_json(value, "", tensors)
    write_document(path, "tree", content, tensors)


def load(path: Path_, verify: bool = True) -> Any:
    """What `save` wrote: a Graph, or the dict of arrays. Nothing in the file is ever run.

    verify=False takes safetensors files of other tools too, as a dict of arrays. Raises CheckpointError for
    a truncated, damaged or foreign file, OSError if there is none.
    """
    return value_of(path, *read_document(path, verify))


def value_of(path: Path_, kind: str, content: Json, tensors: dict[str, np.ndarray]) -> Any:
    """The value that a document stands for. Raises CheckpointError with the path."""
    if kind == FOREIGN:
        return tensors
    with naming(path):
        if kind == "graph":
            return graph_from_json(content, tensors)
        if kind == "tree":
            return _tree_from_json(content, tensors)
        raise CheckpointError(f"it holds a {kind}, expected a graph or arrays")


def write_document(path: Path_, kind: str, content: Json, tensors: Mapping[str, np.ndarray]) -> None:
    """Write JSON and arrays as one file of some kind, atomically."""
    document = {"format": str(FORMAT), "kind": kind, "content": content}
    write_file(path, tensors, json.dumps(document, separators=(",", ":"), allow_nan=False))


def read_document(path: Path_, verify: bool = True) -> tuple[str, Json, dict[str, np.ndarray]]:
    """(kind, JSON, arrays) of a file that `write_document` made. Raises CheckpointError.

    With verify=False other tools' files are of the kind FOREIGN, without JSON.
    """
    tensors, text = read_file(path, verify)
    if text is None:
        return FOREIGN, None, tensors
    return (*_document(path, text), tensors)


@contextmanager
def naming(path: Path_) -> Iterator[None]:
    """CheckpointErrors from inside begin with the path."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{Path(path)}: {error}") from error


def _document(path: Path_, text: str) -> tuple[str, Json]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{Path(path)}: damaged: its content is no JSON: {error}") from None
    match document:
        case {"format": version, "kind": str(kind), "content": content} if version == str(FORMAT):
            return kind, content
        case {"format": version}:
            raise CheckpointError(
                f"{Path(path)}: its format is {version!r}, this version of symgraph reads {FORMAT}"
            )
    raise CheckpointError(f"{Path(path)}: damaged: its content has no format")


def _tree_to_json(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Json:
    """A dict as {"dict": [[key, value], ...]}, an array as {"array": its name}, the rest as it is."""
    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, Mapping):
        return {"dict": [_entry_to_json(key, part, path, tensors) for key, part in value.items()]}
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if not isinstance(value, Number) and not hasattr(value, "__array__"):
        expected = "expected arrays, numbers, strings and None, in dicts, or what has a state_dict"
        raise CheckpointError(f"{path or 'value'}: {expected}, got {value!r:.60}")
    name = path or "value"
    while name in tensors:
        name += "'"
    tensors[name] = np.asarray(value)
    return {"array": name}


def _entry_to_json(key: Any, value: Any, path: str, tensors: dict[str, np.ndarray]) -> Json:
    if not isinstance(key, str):
        raise CheckpointError(f"{path or 'value'}: keys are strings, not {key!r}")
    return [key, _tree_to_json(value, f"{path}/{key}" if path else key, tensors)]


def _tree_from_json(described: Json, tensors: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(described, dict):
        return described
    try:
        ((kind, content),) = described.items()
        if kind == "dict":
            return {key: _tree_from_json(part, tensors) for key, part in content}
        return float.fromhex(content) if kind == "float" else tensors[content]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"damaged content: {error}") from error
