"""The static world: applying an op to Symbols writes a node of a graph; nothing is computed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from symgraph import location
from symgraph.errors import SymgraphError
from symgraph.graph import Node, Origin
from symgraph.op import Kind, Op
from symgraph.types import TensorType, as_dtype, as_shape, float32
from symgraph.value import Value

_origin: list[Origin] = []
_recordings: list[Recording] = []


class Symbol(Value):
    """A value that will exist when the compiled function runs. Immutable."""

    __slots__ = ("node",)
    priority: ClassVar[int] = 2

    def __init__(self, node: Node):
        self.node = node

    @property
    def type(self) -> TensorType:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.node.type

    @classmethod
    def apply(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Symbol:
        nodes = tuple(node_of(o) for o in operands)
        try:
            result = op.infer(*(n.type for n in nodes), **attrs)
        except SymgraphError as error:
            raise placed(error, operands) from None
        return Symbol(make_node(op, nodes, attrs, result))

    @classmethod
    def lift(cls, array: np.ndarray) -> Symbol:
        return Symbol(constant_node(array))

    @classmethod
    def enter(cls, value: Value) -> Symbol:
        return value if isinstance(value, Symbol) else Symbol(node_of(value))

    def __repr__(self) -> str:
        return f"Symbol({self.node.name}: {self.type}, at {self.node.location})"

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} has no value while the graph is built, so it cannot decide an `if` or `while`; "
            "use sg.where, or the eager mode (sg.tensor)"
        )

    def __iter__(self) -> Iterator[Symbol]:
        raise TypeError(f"{self!r} cannot be iterated over; index it, or use sg.scan or sg.unstack")

    def __float__(self) -> float:
        raise TypeError(f"{self!r} has no value while the graph is built; {CALL}")

    __int__ = __index__ = __float__  # pyright: ignore[reportAssignmentType]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"{self!r} is part of a graph and holds no numbers; {CALL}")

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        """`np.sum(symbol)` and the like are refused by name."""
        name = function.__name__
        raise TypeError(f"np.{name} was called on {self!r}; use a function of sg: numpy sees no numbers here")

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"{self!r} cannot be printed as {spec!r}: it holds no numbers; {CALL}")
        return repr(self)

    def __getattr__(self, name: str) -> Any:
        if name in EAGER_ONLY:
            raise AttributeError(f"{self!r} has no {name!r}, as eager tensors have; {EAGER_ONLY[name]}")
        raise AttributeError(f"'Symbol' object has no attribute {name!r}")


CALL = "compile it with sg.function and call that on arrays"
# What users of PyTorch look for, and what to do in a graph.
EAGER_ONLY = {
    "backward": "ask for gradients with sg.grad(loss, parameters), or use an optimizer's minimize",
    "grad": "ask for gradients with sg.grad(loss, parameters)",
    "detach": "use sg.stop_gradient",
    "data": CALL,
    "item": CALL,
    "numpy": CALL,
}


def make_node(op: Op, inputs: tuple[Node, ...], attrs: dict[str, Any], type_: TensorType) -> Node:
    made = Node(
        op=op,
        inputs=inputs,
        attrs=attrs,
        type=type_,
        location=location.here(),
        origin=_origin[-1] if _origin else None,
    )
    for recording in _recordings:
        recording.nodes.append(made)
    return made


@dataclass(eq=False, slots=True)
class Recording:
    """Nodes that were made, producers before users, and values of another world that met symbols."""

    nodes: list[Node] = field(default_factory=list)
    met: list[Value] = field(default_factory=list)


@contextmanager
def recorded() -> Iterator[Recording]:
    """What happens to graphs inside."""
    recording = Recording()
    _recordings.append(recording)
    try:
        yield recording
    finally:
        _recordings.remove(recording)


@contextmanager
def made_for(node: Node, maker: str) -> Iterator[None]:
    """Symbols written inside stand at `node`'s line and name it and the pass as their origin."""
    _origin.append(Origin(node, maker))
    try:
        with location.standing_at(node.location):
            yield
    finally:
        _origin.pop()


def node_of(value: Any) -> Node:
    """The graph node a value stands for. An eager tensor with a history is written down again as nodes."""
    if isinstance(value, Symbol):
        return value.node
    for recording in _recordings:
        recording.met.append(value)
    return value.as_node()


def placed(error: SymgraphError, operands: Iterable[Any] = ()) -> SymgraphError:
    """The error with the user's line, and the lines where the operands were made; once."""
    if "\n  at " in str(error):
        return error
    here = location.here()
    lines = [str(error), f"  at {here.quote()}"]
    for operand in _values(operands):
        node = operand.leaf_node() if hasattr(operand, "leaf_node") else node_of(operand)
        made_here = node.location in (here, location.UNKNOWN)
        if not made_here and node.op is not CONSTANT and len(lines) < MOST_LINES:
            lines.append(f"  {node.name} ({node.type}) was made at {node.location.quote()}")
    return type(error)("\n".join(dict.fromkeys(lines)))


MOST_LINES = 6


def _values(operands: Iterable[Any]) -> Iterator[Any]:
    """Symbols and states among operands, and in lists of them."""
    for operand in operands:
        if isinstance(operand, list | tuple):
            yield from _values(operand)
        elif isinstance(operand, Symbol) or (isinstance(operand, Value) and hasattr(operand, "name")):
            yield operand


INPUT = Op("input", Kind.SOURCE, infer=lambda *, name, type, serial: type)
CONSTANT = Op("constant", Kind.SOURCE, infer=lambda *, value: TensorType(value.shape, value.dtype))
STATE = Op("state", Kind.SOURCE, infer=lambda *, name, state: state.type)

_serial = itertools.count()


def input(name: str, shape: Any, dtype: Any = float32) -> Symbol:
    """An input of the functions to be built, e.g. `sg.input("x", ("batch", 64))`.

    Strings in the shape are named dimensions: one function runs at any size of them.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"an input's name is a non-empty string, not {name!r}")
    try:
        kind = TensorType(as_shape(shape), as_dtype(dtype))
    except SymgraphError as error:
        raise placed(type(error)(f"input {name!r}: {error}")) from None
    return Symbol(make_node(INPUT, (), {"name": name, "type": kind, "serial": next(_serial)}, kind))


def constant_node(array: np.ndarray) -> Node:
    frozen = np.array(array, copy=True)
    frozen.flags.writeable = False
    kind = TensorType(frozen.shape, frozen.dtype)
    return make_node(CONSTANT, (), {"value": frozen}, kind)


def state_node(name: str, state: Any, made_at: location.Location) -> Node:
    with location.standing_at(made_at):
        return make_node(STATE, (), {"name": name, "state": state}, state.type)
