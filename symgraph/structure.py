"""Nested tuples, lists and dicts of values: flattened for the compiler, rebuilt for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from symgraph.errors import CheckpointError


def flatten(structure: Any) -> Iterator[tuple[str, Any]]:
    """(name, leaf) for each leaf: `logits`, `0`, `heads.1`; the single leaf of no structure is `out`."""
    if isinstance(structure, dict | list | tuple):
        yield from _flatten(structure, "")
    else:
        yield "out", structure


def _flatten(structure: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs = structure.items() if isinstance(structure, dict) else enumerate(structure)
    for key, part in pairs:
        name = f"{path}.{key}" if path else str(key)
        if isinstance(part, dict | list | tuple):
            yield from _flatten(part, name)
        else:
            yield name, part


def rebuild(structure: Any, leaves: Sequence[Any]) -> Any:
    """The structure with its leaves replaced, in the order of `flatten`."""
    left = iter(leaves)
    return map_structure(structure, lambda _: next(left))


def map_structure(structure: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(structure, dict):
        return {key: map_structure(part, function) for key, part in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(map_structure(part, function) for part in structure))
    if isinstance(structure, list | tuple):
        return type(structure)(map_structure(part, function) for part in structure)
    return function(structure)


def require_mapping(name: str, state: Any) -> None:
    """Raises TypeError for anything but a dict, such as the path of a file that holds one."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{name}: expected a dict of arrays, as sg.load(path) gives, got {state!r:.60}")


def encode(structure: Any) -> Any:
    """The structure as JSON: null for a leaf, {"list" | "tuple" | "dict": [...]} for the rest.

    A named tuple becomes a plain one: its type is code, which no file holds.
    """
    if isinstance(structure, dict):
        return {"dict": [[_key(key), encode(part)] for key, part in structure.items()]}
    if isinstance(structure, list | tuple):
        kind = "list" if isinstance(structure, list) else "tuple"
        return {kind: [encode(part) for part in structure]}
    return None


def _key(key: Any) -> Any:
    if key is None or type(key) in (str, int, bool):
        return key
    raise CheckpointError(f"outputs: a key is a string or a whole number to be saved, not {key!r}")


def decode(described: Any, leaves: Iterator[Any]) -> Any:
    """What `encode` described, with the given leaves. Raises ValueError for anything else."""
    if described is None:
        return next(leaves)
    if not isinstance(described, dict) or len(described) != 1:
        raise ValueError("a structure is null, or one of list, tuple and dict")
    ((kind, parts),) = described.items()
    if kind == "dict":
        return {key: decode(part, leaves) for key, part in parts}
    made = [decode(part, leaves) for part in parts]
    return made if kind == "list" else tuple(made)
