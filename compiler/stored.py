"""Compiled graphs on disk: the object code, and where each of its weights comes from.

An entry holds a JSON description, the constants that passes made, and the object code. States and the
user's own constants are only numbered, as graph_key numbers them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.graph_key import GraphKey
from symgraph.graph import Node
from symgraph.types import DTYPES

LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """What calling a compiled function takes. `updates`: whether it writes into its weights."""

    weights: tuple[np.ndarray, ...]
    updates: bool
    object_code: bytes


def encode(weights: Sequence[Node], updates: bool, object_code: bytes, key: GraphKey) -> bytes:
    """An entry for a function whose weights are these states and constants."""
    states = {state: number for number, state in enumerate(key.states)}
    constants = {node: number for number, node in enumerate(key.constants)}
    arrays: list[bytes] = []
    sources: list[list[object]] = []
    for node in weights:
        if "state" in node.attrs:
            sources.append(["state", states[node.attrs["state"]]])
        elif node in constants:
            sources.append(["constant", constants[node]])
        else:
            value = np.asarray(node.attrs["value"], order="C")
            sources.append(["array", value.dtype.name, list(node.type.shape)])
            arrays.append(value.tobytes())
    head = json.dumps({"weights": sources, "updates": updates}).encode()
    return b"".join((len(head).to_bytes(LENGTH_BYTES, "little"), head, *arrays, object_code))


def decode(data: bytes, key: GraphKey) -> Stored | None:
    """What `encode` wrote for a graph with this key; None for anything else."""
    try:
        start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        head = json.loads(data[LENGTH_BYTES:start])
        weights = []
        for kind, *rest in head["weights"]:
            if kind == "array":
                array = _array(data, start, *rest)
                start += array.nbytes
            else:
                array = _own_array(key, kind, *rest)
            weights.append(array)
        return Stored(tuple(weights), bool(head["updates"]), data[start:])
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _array(data: bytes, start: int, dtype_name: str, shape: list[int]) -> np.ndarray:
    """A read-only array of these bytes, aligned as its dtype wants."""
    dtype = next(d for d in DTYPES if d.name == dtype_name)
    size = math.prod(shape) * dtype.itemsize
    array = np.frombuffer(data[start : start + size], dtype).reshape(shape).copy()
    array.flags.writeable = False
    return array


def _own_array(key: GraphKey, kind: str, number: int) -> np.ndarray:
    if kind == "state":
        return key.states[number].data
    return np.asarray(key.constants[number].attrs["value"], order="C")
