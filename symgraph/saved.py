"""`sg.load`: what `sg.save` and `Function.save` wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from symgraph import io
from symgraph.api import function
from symgraph.errors import CheckpointError
from symgraph.structure import decode
from symgraph.symbol import Symbol


def load(path: str | os.PathLike[str], verify: bool = True, **options: Any) -> Any:
    """A Function compiled again from its graph, a Graph, or a dict of arrays. Nothing in the file is run.

    verify=False takes safetensors files of other tools too, as a dict of arrays. `options` are
    sg.function's `threads`, `name` and `check_numerics`. Raises CheckpointError for a
    truncated, damaged or foreign file, OSError if there is none.
    """
    kind, described, tensors = io.read_document(path, verify)
    if kind != "function":
        return io.value_of(path, kind, described, tensors)
    try:
        with io.naming(path):
            graph = io.graph_from_json(described["graph"], tensors)
        leaves = iter([Symbol(node) for node in graph.outputs])
        outputs = decode(described["outputs"], leaves)
        training, name = bool(described["training"]), str(described["name"])
    except (KeyError, ValueError, TypeError, StopIteration, RecursionError) as error:
        raise CheckpointError(f"{Path(path)}: damaged function: {error}") from error
    updates = [(state.attrs["state"], Symbol(value)) for state, value in graph.updates]
    inputs = [Symbol(node) for node in graph.inputs]
    return function(inputs, outputs, updates, **{"training": training, "name": name, **options})
