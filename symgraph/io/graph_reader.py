"""A graph from JSON and arrays. Whatever the file says is checked: types are inferred again and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import Signature, signature
from typing import Any

import numpy as np

from symgraph.dimension import Dim, Extent
from symgraph.eager import Parameter, State
from symgraph.errors import CheckpointError
from symgraph.graph import Graph, Node, check_update
from symgraph.io.graph_writer import Json
from symgraph.location import Location, standing_at
from symgraph.op import REGISTRY, Kind
from symgraph.symbol import CONSTANT, INPUT, STATE, input, make_node
from symgraph.types import SHORT_NAMES, TensorType, as_shape, int32

CONTENTS = {CONSTANT: ("value", np.ndarray), STATE: ("state", State)}  # what these hold, where
DTYPES = {name: dtype for dtype, name in SHORT_NAMES.items()}


def graph_from_json(described: Json, tensors: Mapping[str, np.ndarray]) -> Graph:
    """The graph that `graph_to_json` described, with states of its own. Raises CheckpointError."""
    try:
        reader = _Reader(described["locations"], described["states"], tensors)
        for body in described["graphs"]:  # those in the attributes of others come before them
            reader.graphs.append(reader.graph(body))
        return reader.graph(described)
    except CheckpointError:
        raise
    except Exception as error:  # a hostile file can make any inference rule stumble in any way
        raise CheckpointError(f"damaged graph: {type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, locations: Json, states: Json, tensors: Mapping[str, np.ndarray]):
        self.tensors = tensors
        self.locations = [_location(*entry) for entry in locations]
        self.states = [self.state(entry) for entry in states]
        self.graphs: list[Graph] = []

    def state(self, described: Json) -> State:
        name, array = described["name"], self.tensors[described["array"]]
        if not isinstance(name, str):
            raise CheckpointError(f"damaged graph: a state is named {name!r}")
        with standing_at(self.locations[_index(described["at"], self.locations)]):
            return Parameter(array, name) if described["parameter"] else State(name, array)

    def graph(self, described: Json) -> Graph:
        nodes: list[Node] = []
        for entry in described["nodes"]:
            with standing_at(self.locations[_index(entry["at"], self.locations)]):
                nodes.append(self.node(entry, nodes))
        graph = Graph(
            inputs=tuple(_chosen(nodes, described["inputs"])),
            outputs=tuple(_chosen(nodes, described["outputs"])),
            updates=tuple(_pair(_chosen(nodes, pair)) for pair in described["updates"]),
            checks=tuple(_chosen(nodes, described["checks"])),
        )
        for state, value in graph.updates:
            check_update(state, value)
        if any(node.type != TensorType((), int32) for node in graph.checks):
            raise CheckpointError("damaged graph: a check that is no int32 scalar")
        if any(node.op is not INPUT for node in graph.inputs):
            raise CheckpointError("damaged graph: an input that is none")
        return graph

    def node(self, entry: Json, before: list[Node]) -> Node:
        op = REGISTRY.get(entry["op"])
        if op is None:
            raise CheckpointError(f"op {entry['op']!r} is unknown; was the file made by a newer symgraph?")
        inputs = tuple(_chosen(before, entry.get("inputs", [])))
        attrs = {key: self.attribute(value) for key, value in entry.get("attrs", {}).items()}
        if op in CONTENTS and not isinstance(attrs[CONTENTS[op][0]], CONTENTS[op][1]):
            raise CheckpointError(f"damaged graph: {op.name} without its content")
        if op.kind is Kind.ELEMENTWISE:  # their inference takes any attribute, their formula does not
            _formula(op.body).bind(None, *inputs, **attrs)
        stored = type_from_json(entry["type"])
        inferred = op.infer(*(i.type for i in inputs), **attrs)
        if inferred != stored:
            raise CheckpointError(f"damaged graph: {op.name} is stored as {stored}, but gives {inferred}")
        if op is INPUT:  # a new serial number: the old one belonged to another process
            return input(attrs["name"], stored.shape, stored.dtype).node
        if op is STATE:
            return attrs["state"].leaf_node()
        return make_node(op, inputs, attrs, stored)

    def attribute(self, value: Json) -> Any:
        if not isinstance(value, dict):
            if value is None or isinstance(value, bool | int | str):
                return value
            raise CheckpointError(f"damaged graph: an attribute {value!r}")
        ((kind, content),) = value.items()
        if kind == "float":
            return float.fromhex(content)
        if kind == "tuple":
            return tuple(self.attribute(part) for part in content)
        if kind == "dim":
            return _extent(content)
        if kind == "dtype":
            return DTYPES[content]
        if kind == "type":
            return type_from_json(content)
        if kind == "state":
            return self.states[_index(content, self.states)]
        if kind == "array":
            return _frozen(self.tensors[content])
        if kind == "bytes":
            return _frozen(bytes_from_json(content))
        if kind == "graph":
            return self.graphs[_index(content, self.graphs)]
        raise CheckpointError(f"damaged graph: an attribute of kind {kind!r}")


@cache
def _formula(body: Callable[..., Any]) -> Signature:
    return signature(body)


def type_from_json(described: Json) -> TensorType:
    name, *extents = described
    return TensorType(as_shape([_extent(e) for e in extents]), DTYPES[name])


def bytes_from_json(described: Json) -> np.ndarray:
    name, shape, digits = described
    raw = np.frombuffer(bytes.fromhex(digits), np.uint8)
    if name == "bool" and raw.size and raw.max() > 1:
        raise CheckpointError("damaged graph: a bool that is neither 0 nor 1")
    dtype = DTYPES[name]
    array = raw.view(dtype.newbyteorder("<")).reshape([_whole(extent) for extent in shape])
    return np.array(array, dtype)


def _extent(described: Json) -> Extent:
    if not isinstance(described, list):
        return described
    total: Extent = 0
    for names, factor in described:
        term: Extent = _whole(factor)
        for name in names:
            term = term * as_shape((name,))[0]
        total = total + term
    if not isinstance(total, Dim):
        raise CheckpointError(f"damaged graph: a dimension {described!r}")
    return total


def _whole(value: Json) -> int:
    if type(value) is not int:
        raise CheckpointError(f"damaged graph: expected a whole number, got {value!r}")
    return value


def _index(value: Json, table: list[Any]) -> int:
    if not 0 <= _whole(value) < len(table):
        raise CheckpointError(f"damaged graph: number {value} of {len(table)}")
    return value


def _chosen(nodes: list[Node], places: Json) -> list[Node]:
    return [nodes[_index(place, nodes)] for place in places]


def _pair(nodes: list[Node]) -> tuple[Node, Node]:
    state, value = nodes
    return state, value


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _location(filename: Json, line: Json, function: Json) -> Location:
    if not isinstance(filename, str) or not isinstance(function, str):
        raise CheckpointError(f"damaged graph: a location {filename!r}, {function!r}")
    return Location(filename, _whole(line), function)
