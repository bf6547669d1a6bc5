"""A graph as JSON and arrays: ops by name, every attribute spelled out, nothing that could run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from symgraph.dimension import Dim, Extent
from symgraph.eager import Parameter, State
from symgraph.errors import CheckpointError
from symgraph.graph import Graph, Node, topological
from symgraph.location import Location
from symgraph.types import SHORT_NAMES, TensorType

Json = Any
SHORT = 64  # arrays of at most so many bytes stand in the JSON, as most constants do


def graph_to_json(graph: Graph) -> tuple[dict[str, Json], dict[str, np.ndarray]]:
    """(JSON-able description, arrays): constants and the present values of states are among the arrays.

    The user's lines are kept, the history of rewrites (`origin`) is not. Raises CheckpointError for an
    attribute of a kind that cannot be written.
    """
    writer = _Writer()
    described = writer.graph(graph)
    described["graphs"] = writer.graphs
    described["states"] = writer.states
    described["locations"] = [[at.filename, at.line, at.function] for at in writer.locations]
    return described, writer.tensors


class _Writer:
    """Tables that grow while a graph is written."""

    def __init__(self) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self.states: list[dict[str, Json]] = []
        self.locations: dict[Location, int] = {}
        self.graphs: list[dict[str, Json]] = []
        self._state_places: dict[int, int] = {}
        self._graph_places: dict[Graph, int] = {}

    def graph(self, graph: Graph) -> dict[str, Json]:
        states = [state for state, _ in graph.updates]
        places: dict[Node, int] = {}
        nodes = []
        for node in topological(graph.results, first=(*graph.inputs, *states)):
            places[node] = len(nodes)
            nodes.append(self.node(node, places))
        return {
            "nodes": nodes,
            "inputs": [places[n] for n in graph.inputs],
            "outputs": [places[n] for n in graph.outputs],
            "updates": [[places[state], places[value]] for state, value in graph.updates],
            "checks": [places[n] for n in graph.checks],
        }

    def node(self, node: Node, places: Mapping[Node, int]) -> dict[str, Json]:
        described: dict[str, Json] = {"op": node.op.name, "type": type_to_json(node.type)}
        if node.inputs:
            described["inputs"] = [places[i] for i in node.inputs]
        if node.attrs:
            described["attrs"] = {key: self.attribute(value) for key, value in node.attrs.items()}
        described["at"] = self.place(node.location)
        return described

    def place(self, location: Location) -> int:
        return self.locations.setdefault(location, len(self.locations))

    def attribute(self, value: Any) -> Json:
        """JSON's own kinds as themselves, all others as an object whose one key names the kind."""
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if type(value) is float:
            return {"float": value.hex()}  # exact, infinities and NaN too
        if isinstance(value, tuple):
            return {"tuple": [self.attribute(part) for part in value]}
        if isinstance(value, Dim):
            return {"dim": extent_to_json(value)}
        if isinstance(value, np.dtype):
            return {"dtype": SHORT_NAMES[value]}
        if isinstance(value, TensorType):
            return {"type": type_to_json(value)}
        if isinstance(value, State):
            return {"state": self.state(value)}
        if isinstance(value, np.ndarray):
            return {"bytes": bytes_to_json(value)} if value.nbytes <= SHORT else {"array": self.array(value)}
        if isinstance(value, Graph):
            return {"graph": self.body(value)}
        raise CheckpointError(f"an attribute of type {type(value).__name__} cannot be saved: {value!r}")

    def body(self, graph: Graph) -> int:
        """The number of a graph held in attributes: several may hold the same, and must after loading."""
        if graph not in self._graph_places:
            self.graphs.append(self.graph(graph))
            self._graph_places[graph] = len(self.graphs) - 1
        return self._graph_places[graph]

    def state(self, state: State) -> int:
        if id(state) not in self._state_places:
            self._state_places[id(state)] = len(self.states)
            learnt = isinstance(state, Parameter)
            key = self.array(state.numpy())
            at = self.place(state.location)
            self.states.append({"name": state.name, "parameter": learnt, "array": key, "at": at})
        return self._state_places[id(state)]

    def array(self, array: np.ndarray) -> str:
        key = str(len(self.tensors))
        self.tensors[key] = array
        return key


def type_to_json(type_: TensorType) -> Json:
    """["f32", [[["batch"], 1]], 64]: the element type's short name, then the extents."""
    return [SHORT_NAMES[type_.dtype], *(extent_to_json(e) for e in type_.shape)]


def bytes_to_json(array: np.ndarray) -> Json:
    """["f32", shape, hexadecimal digits of its little-endian bytes]: exact for NaN, too."""
    plain = array.astype(array.dtype.newbyteorder("<"))
    return [SHORT_NAMES[array.dtype], list(array.shape), plain.tobytes().hex()]


def extent_to_json(extent: Extent) -> Json:
    """An int, or the polynomial's terms as [[names], factor]."""
    return extent if isinstance(extent, int) else [[list(names), factor] for names, factor in extent.terms]
