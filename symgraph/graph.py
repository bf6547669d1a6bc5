"""The static graph: immutable nodes, the states they read, and graphs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from symgraph.errors import GraphError
from symgraph.location import Location
from symgraph.op import Attrs, Kind, Op
from symgraph.types import TensorType

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Origin:
    """The node this one was made from or for, and the pass that made it."""

    node: Node
    maker: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """One op applied to nodes: one value. Compared by identity."""

    op: Op
    inputs: tuple[Node, ...]
    attrs: Attrs
    type: TensorType
    location: Location
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """The user's name of an input or a state, else the op's."""
        name = self.attrs.get("name")
        return name if isinstance(name, str) else self.op.name

    def __repr__(self) -> str:
        return f"<{self.name} {self.type} at {self.location}>"


Update = tuple[Node, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A pure function: `inputs` and the states it meets, to `outputs` and new values of states.

    Each update is (state node, new value), of one type. Each check is an int32 scalar that is 0 where the
    inputs are as they must be; no state changes where it is not.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    updates: tuple[Update, ...] = ()
    checks: tuple[Node, ...] = ()
    # What `nodes` found; a graph never changes, and every pass walks it several times.
    _nodes: tuple[Node, ...] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def results(self) -> tuple[Node, ...]:
        """Everything that must be computed."""
        return self.outputs + tuple(value for _, value in self.updates) + self.checks

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Inputs first, then every node that a result needs, producers before users."""
        if self._nodes is None:
            object.__setattr__(self, "_nodes", tuple(topological(self.results, first=self.inputs)))
        assert self._nodes is not None
        return self._nodes

    def with_results(self, results: Sequence[Node]) -> Graph:
        """The same graph computing other nodes, in the order of `results`."""
        count = len(self.outputs)
        end = count + len(self.updates)
        states = [state for state, _ in self.updates]
        return replace(
            self,
            outputs=tuple(results[:count]),
            updates=tuple(zip(states, results[count:end], strict=True)),
            checks=tuple(results[end:]),
        )

    def users(self) -> dict[Node, list[Node]]:
        """For each node the nodes that read it, once for each operand position."""
        table: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in list(table):
            for operand in node.inputs:
                table[operand].append(node)
        return table

    def to_networkx(self) -> networkx.MultiDiGraph:
        """Nodes are `Node` objects with op, type and location; edges carry the operand's position."""
        import networkx  # a 60 ms import that most programs never need

        view = networkx.MultiDiGraph()
        for node in self.nodes:
            view.add_node(node, op=node.op.name, type=str(node.type), location=str(node.location))
        for node in self.nodes:
            for position, operand in enumerate(node.inputs):
                view.add_edge(operand, node, position=position)
        return view

    def __repr__(self) -> str:
        return f"<Graph {len(self.inputs)} inputs, {len(self.outputs)} outputs, {len(self.updates)} updates>"


def topological(
    results: Iterable[Node], first: Iterable[Node] = (), stop: Iterable[Node] = ()
) -> Iterator[Node]:
    """Producers before users, each node once, in a deterministic order; iterative at any depth.

    Nodes in `stop`, and what only they need, are left out.
    """
    done: set[Node] = set(stop)
    opened: set[Node] = set()
    for root in (*first, *results):
        stack = [root]
        while stack:
            node = stack[-1]
            if node not in done and node not in opened:
                opened.add(node)
                waiting = [i for i in reversed(node.inputs) if i not in done]
                if waiting:
                    stack.extend(waiting)
                    continue
            stack.pop()
            if node not in done:
                done.add(node)
                yield node


def transform(
    graph: Graph, visit: Callable[[Node, tuple[Node, ...]], Node | None], maker: str
) -> Graph:
    """Rebuild a graph bottom-up. `visit(old node, its new inputs)` returns a replacement, or None to keep it.

    A kept node whose inputs did not change stays the same object; a copy remembers its origin.
    Source nodes are passed to `visit` too. The order of inputs and states never changes.
    """
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[i] for i in node.inputs)
        made = visit(node, inputs)
        if made is None:
            made = node if inputs == node.inputs else copy_with(node, inputs, maker)
        new[node] = made
    return graph.with_results([new[node] for node in graph.results])


def copy_with(node: Node, inputs: tuple[Node, ...], maker: str) -> Node:
    """The same op on other operands, made from `node` by a pass."""
    return Node(
        op=node.op,
        inputs=inputs,
        attrs=node.attrs,
        type=node.type,
        location=node.location,
        origin=Origin(node, maker),
    )


def check_update(state: Node, value: Node) -> None:
    if state.op.kind is not Kind.SOURCE or "state" not in state.attrs:
        raise GraphError(f"only a parameter or a state can be updated, not {state!r}")
    if state.type != value.type:
        raise GraphError(
            f"update of {state.name}: its type is {state.type}, the new value is {value.type}\n"
            f"  at {value.location.quote()}"
        )


def key_of(attrs: Attrs) -> tuple[tuple[str, Any], ...]:
    """Attributes as something hashable and comparable by value."""
    return tuple((name, _key(value)) for name, value in sorted(attrs.items()))


def _key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # Large arrays are compared by identity: hashing megabytes would cost more than it merges.
        small = value.nbytes <= 4096
        return (value.shape, value.dtype.str, value.tobytes()) if small else id(value)
    if isinstance(value, float):
        return np.float64(value).tobytes()  # tells 0.0 from -0.0, and equals itself when NaN
    return value
