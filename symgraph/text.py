"""The canonical text of a graph: one line a node, the same text for the same graph in every process."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from symgraph.dimension import Dim
from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.types import SHORT_NAMES, TensorType

WHOLE = 8  # arrays of at most this many elements are printed in full
ENDS = 3  # elements printed at either end of a longer one
COLUMN = 64  # where the comments with locations start
NAMED = ("name", "state", "serial", "type")  # attributes of sources that the line shows otherwise, or that
# differ from process to process


def graph_text(graph: Graph, *, locations: bool = True) -> str:
    """One line a node, producers before users, then outputs, updates and checks:

        %2 = matmul(%0, %1) : f32[batch, 128]   # train.py:14

    Floats are printed exactly (the shortest text that reads back as the same number), large arrays by
    their ends. `locations=False` leaves the comments out. Graphs held in attributes (the body of a
    loop) follow in sections of their own. Takes time linear in the text.
    """
    writer = _Writer(locations)
    writer.number(graph)
    sections = []
    while len(sections) < len(writer.graphs):  # writing one section may find further graphs
        sections.append(writer.section(len(sections)))
    return "\n".join(sections)


def node_text(node: Node) -> str:
    """One node on one line, its operands by name: `matmul(x, w) : f32[batch, 128]`."""
    writer = _Writer(False)
    writer.names = {operand: _shown(operand.name) for operand in node.inputs}
    return writer.right_side(node)


def quoted(name: str) -> str:
    """A user's name in double quotes, on one line, with everything unprintable escaped."""
    return '"' + printable(name.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def printable(text: str) -> str:
    """The text on one line: control characters, invisible ones and lone surrogates as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _shown(name: str) -> str:
    return name if name.isidentifier() else quoted(name)


class _Writer:
    """Numbers of nodes and of nested graphs while a text is written."""

    def __init__(self, locations: bool):
        self.locations = locations
        self.names: dict[Node, str] = {}
        self.graphs: list[Graph] = []
        self.labels: dict[int, str] = {}

    def number(self, graph: Graph) -> str:
        """The label of a graph, `@1`; the main one is `@0` and never referred to."""
        if id(graph) not in self.labels:
            self.labels[id(graph)] = f"@{len(self.graphs)}"
            self.graphs.append(graph)
        return self.labels[id(graph)]

    def section(self, index: int) -> str:
        graph = self.graphs[index]
        nodes = graph.nodes
        self.names = {node: f"%{i}" for i, node in enumerate(nodes)}
        lines = [f"graph @{index}"] if index else []
        lines += [self.line(node) for node in nodes]
        lines.append("outputs: " + ", ".join(self.names[n] for n in graph.outputs))
        for state, value in graph.updates:
            place = self.names.get(state, "state")
            lines.append(f"update: {place} {quoted(state.name)} <- {self.names[value]}")
        if graph.checks:
            lines.append("checks: " + ", ".join(self.names[n] for n in graph.checks))
        return "\n".join(lines) + "\n"

    def line(self, node: Node) -> str:
        text = f"{self.names[node]} = {self.right_side(node)}"
        return f"{text:<{COLUMN}}   # {printable(str(node.location))}" if self.locations else text

    def right_side(self, node: Node) -> str:
        if node.op.kind is Kind.SOURCE and isinstance(node.attrs.get("name"), str):
            return f"{node.op.name} {quoted(node.attrs['name'])} : {node.type}"
        parts = [self.names[i] for i in node.inputs]
        if node.op.name == "constant":
            parts.append(array_text(node.attrs["value"]))
        else:
            parts += [f"{key}={self.attribute(value)}" for key, value in shown_attributes(node)]
        return f"{node.op.name}({', '.join(parts)}) : {node.type}"

    def attribute(self, value: Any) -> str:
        return attribute_text(value, self.names, self.number)


def shown_attributes(node: Node) -> list[tuple[str, Any]]:
    """Attributes by name in sorted order, without what is process-specific."""
    hidden = NAMED if node.op.kind is Kind.SOURCE else ("serial",)
    return [(key, value) for key, value in sorted(node.attrs.items()) if key not in hidden]


def attribute_text(value: Any, names: Mapping[Node, str] | None = None, number: Any = None) -> str:
    """An attribute's value as text that depends on nothing but the value (no address, no set order)."""
    if isinstance(value, tuple | list):
        inner = ", ".join(attribute_text(v, names, number) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return "{" + ", ".join(f"{k}: {attribute_text(v, names, number)}" for k, v in items) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(attribute_text(v, names, number) for v in value)) + "}"
    if isinstance(value, Node):
        return (names or {}).get(value) or _shown(value.name)
    if isinstance(value, Graph):
        return number(value) if number is not None else repr(value)
    return _plain_text(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, np.dtype):
        return SHORT_NAMES.get(value, str(value))
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool | int | float | None | Dim | TensorType):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return array_text(np.asarray(value))
    if isinstance(value, Enum):
        return value.name
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return quoted(name) if isinstance(name, str) else f"<{type(value).__name__}>"


def array_text(array: np.ndarray) -> str:
    """`0.5`, `[1, 2]`, `[0.1, 0.2, 0.3, ... 0.8, 0.9, 1.0]`: elements exactly, in row-major order."""
    if array.ndim == 0:
        return _number(array[()])
    flat = array.reshape(-1) if array.size <= WHOLE else _ends(array)
    numbers = [_number(v) for v in flat]
    if array.size > WHOLE:
        numbers[ENDS] = f"... {numbers[ENDS]}"
    return "[" + ", ".join(numbers) + "]"


def _ends(array: np.ndarray) -> np.ndarray:
    """The first and last elements, without copying the array."""
    places = (*range(ENDS), *range(array.size - ENDS, array.size))
    return np.array([array[np.unravel_index(p, array.shape)] for p in places])


def _number(value: Any) -> str:
    return str(value)  # numpy prints the shortest decimal that reads back as the same float
