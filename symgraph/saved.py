"""`sg.load`: what `sg.save` and `Function.save` wrote."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from symgraph import io
from symgraph.api import function_of
from symgraph.errors import CheckpointError
from symgraph.graph import Graph
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
    with io.naming(path):
        graph, outputs, settings = _read(described, tensors)
    return function_of(graph, outputs, **{**settings, **options})


def _read(described: Any, tensors: dict[str, np.ndarray]) -> tuple[Graph, Any, dict[str, Any]]:
    try:
        graph = io.graph_from_json(described["graph"], tensors)
        leaves = iter([Symbol(node) for node in graph.outputs])
        outputs = decode(described["outputs"], leaves)
        if list(leaves):
            raise ValueError("more outputs than places for them")
        return graph, outputs, {"training": bool(described["training"]), "name": str(described["name"])}
    except CheckpointError:
        raise
    except (KeyError, ValueError, TypeError, StopIteration, RecursionError) as error:
        raise CheckpointError(f"damaged function: {error}") from error
