"""A key of everything that a graph's native code depends on, found without compiling: one walk of the graph.

Not in it: where nodes stand in the user's program, names and values of states (they are read at each call),
the counters that tell inputs apart. In it: the source of symgraph and of this compiler, so that no code
meets an entry that other code made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import compiler
import symgraph
from compiler.llvm.engine import versions
from compiler.llvm.target import Target
from symgraph.dimension import Dim
from symgraph.graph import Graph, Node
from symgraph.op import Op
from symgraph.symbol import CONSTANT, INPUT, STATE
from symgraph.types import TensorType

FORMAT = "symgraph graph 1"
PACKAGES = (symgraph, compiler)
OWN = (*(package.__name__ for package in PACKAGES), "numpy")


class _NoKeyError(Exception):
    """Something in the graph whose meaning cannot be told from its bytes: a function, a user's own op."""


@dataclass(frozen=True, slots=True)
class GraphKey:
    """The key, and the states and constants of the graph in the order in which it numbers them."""

    text: str
    states: tuple[Any, ...]
    constants: tuple[Node, ...]


def graph_key(graph: Graph, settings: Sequence[object], target: Target, frozen: bool) -> GraphKey | None:
    """None where the graph holds what has no key. `settings`: whatever else the code depends on, by repr.

    `frozen`: the values of states count too.
    """
    source = source_hash()
    if source is None:
        return None
    walk = _Walk(frozen)
    digest = hashlib.sha256()
    try:
        head = (FORMAT, source, versions(), np.__version__, repr(target), *map(repr, settings))
        for part in (*head, *walk.rows(graph)):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
    except _NoKeyError:
        return None
    return GraphKey(digest.hexdigest(), tuple(walk.states), tuple(walk.constants))


@cache
def source_hash() -> str | None:
    """A hash of the source of symgraph and of the compiler; None where the files are not to be read."""
    digest = hashlib.sha256()
    try:
        for package in PACKAGES:
            root = Path(package.__path__[0])
            for file in sorted(root.rglob("*.py")):
                data = file.read_bytes()
                digest.update(f"{package.__name__}/{file.relative_to(root)}:{len(data)}:".encode() + data)
    except OSError:
        return None
    return digest.hexdigest()


def is_own(op: Op) -> bool:
    """Whether all of an op's meaning stands in source that `source_hash` covers, or in numpy's."""
    parts = (op.infer, op.evaluate, op.body, op.vjp)
    return all(part is None or isinstance(part, str) or _home_of(part) in OWN for part in parts)


def _home_of(function: Any) -> str:
    """The package that a function, or the one behind a partial, was written in."""
    return (getattr(getattr(function, "func", function), "__module__", None) or "").split(".")[0]


@dataclass(slots=True)
class _Walk:
    """Writes one row a node; operands are numbers of earlier rows."""

    frozen: bool
    states: dict[Any, int] = field(default_factory=dict)
    constants: list[Node] = field(default_factory=list)
    _own: set[Op] = field(default_factory=set)
    _order: dict[int, int] = field(default_factory=dict)
    _graphs: dict[Graph, int] = field(default_factory=dict)
    _types: dict[TensorType, str] = field(default_factory=dict)

    def rows(self, graph: Graph) -> Iterator[str]:
        numbers: dict[Node, int] = {}
        inputs = {node: number for number, node in enumerate(graph.inputs)}
        self._serials(graph)
        for node in graph.nodes:
            operands = ",".join(str(numbers[i]) for i in node.inputs)
            numbers[node] = len(numbers)
            yield f"{node.op.name}({operands}){self._type(node.type)}{self._attributes(node, inputs)}"
        for node in graph.inputs:
            yield f"input {node.name!r}"
        for state, value in graph.updates:
            yield f"update {self._state(state.attrs['state'])} {numbers[value]}"
        yield f"results {[numbers[n] for n in (*graph.outputs, *graph.checks)]}"

    def _attributes(self, node: Node, inputs: dict[Node, int]) -> str:
        if node.op is INPUT:
            return str(inputs[node]) if node in inputs else self._refuse(node)
        if node.op is STATE:
            return self._state(node.attrs["state"])
        if node.op is CONSTANT:
            self.constants.append(node)
        elif node.op not in self._own:
            if not is_own(node.op):
                return self._refuse(node.op)
            self._own.add(node.op)
        if "serial" in node.attrs:
            return str(self._order[node.attrs["serial"]])
        return ",".join([f"{name}={self._value(value)}" for name, value in node.attrs.items()])

    def _serials(self, graph: Graph) -> None:
        """Serials only say what comes before what."""
        reads = (n for n in graph.nodes if "serial" in n.attrs and n.op is not INPUT)
        serials = sorted({n.attrs["serial"] for n in reads})
        self._order.update((serial, number) for number, serial in enumerate(serials))

    def _type(self, kind: TensorType) -> str:
        if kind not in self._types:
            self._types[kind] = str(kind)
        return self._types[kind]

    def _state(self, state: Any) -> str:
        number = self.states.setdefault(state, len(self.states))
        values = self._value(state.data) if self.frozen else self._type(state.type)
        return f"state {number} {values}"

    def _value(self, value: Any) -> str:
        """An attribute as text that no other value has."""
        if value is None or isinstance(value, (bool, int, str, np.dtype, Dim)):
            return f"{type(value).__name__}:{value!r}"
        if isinstance(value, float):
            return f"float:{value.hex()}"
        if isinstance(value, (tuple, list)):
            return f"{type(value).__name__}:({','.join(map(self._value, value))})"
        if isinstance(value, (np.ndarray, np.generic)):
            content = hashlib.sha256(value.tobytes()).hexdigest()
            return f"{type(value).__name__}:{value.dtype.str}{value.shape}{content}"
        if isinstance(value, TensorType):
            return f"type:{value}"
        if isinstance(value, Graph):
            return self._graph(value)
        if hasattr(value, "data") and isinstance(getattr(value, "type", None), TensorType):
            return self._state(value)
        return self._refuse(value)

    def _graph(self, body: Graph) -> str:
        """The body of a loop, written where it is first met."""
        if body in self._graphs:
            return f"graph:{self._graphs[body]}"
        rows = tuple(self.rows(body))
        self._graphs[body] = len(self._graphs)
        return f"graph:{rows!r}"

    def _refuse(self, value: object) -> str:
        raise _NoKeyError(repr(value))
