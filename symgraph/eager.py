"""The eager world: ops run on numpy arrays at once, and a tape of them is kept for `backward`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np

from symgraph import location
from symgraph.chain_rule import Step, accumulate, pull_back
from symgraph.errors import GradientError, GraphError, ShapeError, StateError, SymgraphError
from symgraph.graph import Node
from symgraph.op import Op
from symgraph.structure import map_structure
from symgraph.symbol import constant_node, make_node, placed, state_node
from symgraph.types import FLOATS, DType, TensorType
from symgraph.value import EAGER, Value, as_array


class Record(NamedTuple):
    """One entry of the tape: how a tensor came to be."""

    op: Op
    inputs: tuple[Tensor, ...]
    attrs: dict[str, Any]


class _Mode(threading.local):
    recording = True


_mode = _Mode()


@contextmanager
def no_grad() -> Iterator[None]:
    """Nothing inside can be gone back through by `backward`. Graphs are written inside as anywhere."""
    before, _mode.recording = _mode.recording, False
    try:
        yield
    finally:
        _mode.recording = before


class Tensor(Value):
    """An array with a history. `grad` (an ndarray or None) accumulates over calls of `backward`."""

    __slots__ = ("_type", "data", "forgotten", "grad", "record", "requires_grad", "tracked")
    priority: ClassVar[int] = 1
    applied: ClassVar[int] = 0  # ops run eagerly so far, in this process

    def __init__(self, data: np.ndarray, requires_grad: bool = False, record: Record | None = None):
        self.data = data
        self.requires_grad = requires_grad
        self.grad: np.ndarray | None = None
        self.record = record
        self.tracked = requires_grad
        self.forgotten = False  # made from states under no_grad, without a record of how
        self._type: TensorType | None = None

    @property
    def type(self) -> TensorType:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._type is None:
            self._type = TensorType(self.data.shape, self.data.dtype)
        return self._type

    @classmethod
    def apply(cls, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Tensor:
        assert op.evaluate is not None, op
        Tensor.applied += 1
        # numpy would take what the op does not: exp of integers, clip of bools.
        kind = op.infer(*(o.type for o in operands), **attrs)
        with np.errstate(all="ignore"):
            data = np.asarray(op.evaluate(*(o.data for o in operands), **attrs))
        result = Tensor(data)
        result._type = kind
        if any(o.tracked for o in operands):
            result._remember(Record(op, operands, attrs))
        elif any(o.forgotten for o in operands):
            result.forgotten = True
        return result

    def _remember(self, record: Record) -> None:
        """Keep how this came to be: for `backward`, and for graphs that this may become part of.

        Under no_grad only what states and numbers make, so that no activation is held in memory.
        """
        op, operands, _ = record
        if not _mode.recording and not all(o.tracked or is_number(o.data) for o in operands):
            self.forgotten = True
            return
        self.record, self.tracked = record, True
        passes_on = _mode.recording and self.data.dtype in FLOATS and op.vjp is not None
        self.requires_grad = passes_on and any(o.requires_grad for o in operands)

    @classmethod
    def lift(cls, array: np.ndarray) -> Tensor:
        return Tensor(array)

    def numpy(self) -> np.ndarray:
        """A copy of the values."""
        return self.data.copy()

    def item(self) -> float | int | bool:
        """The only element, as a Python number."""
        return self.data.item()

    def detach(self) -> Tensor:
        """The same array without its history."""
        return Tensor(self.data)

    def backward(self, gradient: Any = None) -> None:
        """Add d(self . gradient)/d(leaf) to `.grad` of every leaf that requires it.

        `gradient` has this tensor's shape; it may be left out for a single element. The tape is kept,
        so a second call adds again; carry state between steps with `detach()`.
        """
        try:
            seed = _seed_for(self, gradient)
        except SymgraphError as error:
            raise placed(error) from None
        with no_grad():
            found = tape_gradients(self, seed, None)
        for leaf, value in found:
            part = value.data
            leaf.grad = part.copy() if leaf.grad is None else leaf.grad + part

    def as_node(self) -> Node:
        """This tensor in a graph: its history where it depends on parameters or state, else a constant.

        Raises GraphError where that history is gone: it would stay what it is while they change.
        """
        return _replay(self)

    def leaf_node(self) -> Node:
        if self.forgotten:
            raise GraphError(
                f"a tensor {self.type} was made from parameters or states under no_grad and would be a "
                "constant in this graph; make it outside, or say so with .detach()"
            )
        return constant_node(self.data)

    def __len__(self) -> int:
        if not self.data.shape:
            raise TypeError("a tensor without axes has no length")
        return self.data.shape[0]

    def __iter__(self) -> Iterator[Value]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        """numpy's own functions see the plain arrays: `np.mean(tensor)` is a number without a history."""
        arguments, options = map_structure((arguments, options), _plain)
        return function(*arguments, **options)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        suffix = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({np.array2string(self.data, separator=', ', prefix='tensor(')}{suffix})"


EAGER.append(Tensor)


class State(Tensor):
    """Named storage that lives between calls: compiled functions and `assign` change it in place.

    In the eager world a tensor, in the static world a source of the graph.
    """

    __slots__ = ("_node", "location", "name")

    def __init__(self, name: str, array: Any, requires_grad: bool = False):
        if not isinstance(name, str) or not name:
            raise TypeError(f"a state's name is a non-empty string, not {name!r:.40}")
        super().__init__(aligned_copy(as_array(array)), requires_grad)
        self.name = name
        self.tracked = True
        self._node: Node | None = None
        self.location = location.here()
        if requires_grad and self.data.dtype not in FLOATS:
            raise GradientError(f"{name}: only float tensors can require a gradient, not {self.data.dtype}")

    def assign(self, array: Any) -> None:
        """Copy new values into place. Shape and dtype must be the same; nothing is changed otherwise."""
        new = array.data if isinstance(array, Tensor) else as_array(array)
        if new.shape != self.data.shape:
            raise StateError(f"{self.name}: expected shape {self.data.shape}, got {new.shape}")
        if new.dtype != self.data.dtype and not isinstance(array, int | float | bool | list | tuple):
            raise StateError(f"{self.name}: expected {self.data.dtype}, got {new.dtype}")
        self.data[...] = new

    def leaf_node(self) -> Node:
        if self._node is None:
            self._node = state_node(self.name, self, self.location)
        return self._node

    def __reduce__(self) -> Any:
        """Copied and pickled as values: the copy is a state of its own, not a part of graphs made so far."""
        return _restored, (type(self), self.name, self.data, self.requires_grad)


class Parameter(State):
    """A state that is learnt: it requires a gradient. Without a name it takes its module's attribute's."""

    __slots__ = ()

    def __init__(self, array: Any, name: str = "parameter"):
        super().__init__(name, array, requires_grad=True)

    def __repr__(self) -> str:
        return f"Parameter({self.name}: {self.type})"


def is_number(array: np.ndarray) -> bool:
    """Whether an array is one number, perhaps spread over a shape."""
    return array.size == 1 or not any(array.strides)


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _restored(kind: type[State], name: str, array: np.ndarray, requires_grad: bool) -> State:
    made = Parameter(array, name) if issubclass(kind, Parameter) else State(name, array)
    made.requires_grad = requires_grad
    return made


def tensor(data: Any, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the eager world, copied from an array, a list or a number.

    Python floats become float32 and ints int64; arrays keep their dtype.
    """
    made = Tensor(np.array(as_array(data, dtype)))
    if requires_grad and made.dtype not in FLOATS:
        raise GradientError(f"only float tensors can require a gradient, not {made.dtype}")
    made.requires_grad = made.tracked = requires_grad
    return made


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy whose data starts at a multiple of 64 bytes, as native code likes it."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    made = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def tape_order(result: Tensor) -> list[Tensor]:
    """Everything `result` was computed from, producers first; iterative at any depth."""
    done: set[int] = set()
    order: list[Tensor] = []
    stack: list[tuple[Tensor, bool]] = [(result, False)]
    while stack:
        value, ready = stack.pop()
        if id(value) in done:
            continue
        if ready or value.record is None:
            done.add(id(value))
            order.append(value)
            continue
        stack.append((value, True))
        stack.extend((i, False) for i in reversed(value.record.inputs) if id(i) not in done)
    return order


def tape_gradients(
    result: Tensor, seed: Tensor, wanted: Sequence[Tensor] | None
) -> list[tuple[Tensor, Tensor]]:
    """(tensor, gradient) for the wanted tensors, or for all leaves that require one."""
    order = tape_order(result)
    keep = {id(w) for w in wanted} if wanted is not None else set()
    adjoints: dict[Any, Value] = {id(result): seed}
    found: list[tuple[Tensor, Tensor]] = []
    for value in reversed(order):
        gradient = adjoints.get(id(value)) if id(value) in keep else adjoints.pop(id(value), None)
        if gradient is None:
            continue
        assert isinstance(gradient, Tensor)
        if id(value) in keep or (wanted is None and value.record is None and value.requires_grad):
            found.append((value, gradient))
        if value.record is not None and value.requires_grad:
            op, inputs, attrs = value.record
            step = Step(op, attrs, [id(i) for i in inputs], inputs, value)
            accumulate(adjoints, pull_back(step, gradient, [i.requires_grad for i in inputs]))
    return found


def _seed_for(result: Tensor, gradient: Any) -> Tensor:
    if not result.requires_grad:
        raise GradientError("backward: this tensor does not depend on one with requires_grad=True")
    if gradient is None:
        if result.data.size != 1:
            raise ShapeError(
                f"backward: {result.type} is not one number; reduce it first, as in sg.sum(y).backward(), "
                "or give a gradient of its shape"
            )
        return Tensor(np.ones_like(result.data))
    array = gradient.data if isinstance(gradient, Tensor) else np.asarray(gradient)
    if array.shape != result.data.shape:
        raise ShapeError(f"backward: expected a gradient of shape {result.data.shape}, got {array.shape}")
    return Tensor(np.asarray(array, dtype=result.data.dtype))


def _replay(result: Tensor) -> Node:
    nodes: dict[int, Node] = {}
    for value in tape_order(result):
        if value.record is None or not value.tracked:
            nodes[id(value)] = value.leaf_node()
        else:
            op, inputs, attrs = value.record
            operands = tuple(nodes[id(i)] for i in inputs)
            kind = op.infer(*(o.type for o in operands), **attrs)
            with location.standing_at(location.here()):
                nodes[id(value)] = make_node(op, operands, attrs, kind)
    return nodes[id(result)]
