"""Reading a node's value at a position: views become index arithmetic, what is behind them a load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from compiler.loop.grammar import (
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    Load,
    binary,
    constant,
    extent_expr,
    index,
    select,
)
from compiler.views import FIRST, is_scalar_constant, is_view
from symgraph.dimension import Extent, Shape, is_positive, product
from symgraph.errors import CompileError
from symgraph.graph import Node
from symgraph.ops.layout import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from symgraph.ops.reduce import EXTENT, IOTA
from symgraph.types import int64


class Merged:
    """Stands for an axis whose index is contained in the next axis's: both are walked as one."""

    def __repr__(self) -> str:
        return "merged"


MERGED = Merged()
Position = Sequence[Expr | Merged]
ZERO = Const(0, int64)


@dataclass(eq=False, slots=True)
class Scratch:
    """Memory of a step or between two steps of one cluster, in the arena."""

    shape: Shape
    dtype: np.dtype


@dataclass(eq=False, slots=True)
class Arranged(Scratch):
    """Memory that holds a constant's elements in another order, put there when the program is made."""

    source: Node
    arrange: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of memory, another in each step of a loop: with n = offset + stride * t in step t (in bytes), n
    bytes behind the only base; or the base of number n mod 2, where two are used in turn.

    It moves with the steps of loop number `loop`; None: it is the same in a whole run. `size`: its own bytes.
    """

    bases: tuple[Memory, ...]
    offset: Extent
    stride: Extent
    loop: int | None
    size: Extent


Memory = Node | Scratch | Row
Home = Callable[[Node], Memory]  # where a node's value lives: an update in its state, a stacked one in a row


@dataclass(slots=True)
class Buffers:
    """The buffers of one kernel: each (memory, shape) it touches gets a parameter, in order of first use."""

    home: Home
    memories: list[Memory] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    _known: dict[tuple[Memory, Shape], Buffer] = field(default_factory=dict)

    def of(self, memory: Node | Scratch, shape: Shape | None = None) -> Buffer:
        kind, dtype = kind_of(memory)
        where = self.home(memory) if isinstance(memory, Node) else memory
        key = (where, kind if shape is None else shape)
        if key not in self._known:
            self._known[key] = Buffer(f"b{len(self.buffers)}", dtype, key[1])
            self.memories.append(where)
            self.buffers.append(self._known[key])
        return self._known[key]


def kind_of(memory: Node | Scratch) -> tuple[Shape, np.dtype]:
    """The shape and the element type of what is in it."""
    if isinstance(memory, Node):
        return memory.type.shape, memory.type.dtype
    return memory.shape, memory.dtype


def place(buffers: Buffers, memory: Node | Scratch, position: Position) -> tuple[Buffer, tuple[Expr, ...]]:
    """The buffer and indices of an element; merged axes make a buffer of fewer axes over the same memory."""
    shape, _ = kind_of(memory)
    extents: list[Extent] = []
    indices: list[Expr] = []
    pending: Extent = 1
    for extent, at in zip(shape, position, strict=True):
        pending = pending * extent
        if isinstance(at, Merged):
            continue
        extents.append(pending)
        indices.append(at)
        pending = 1
    return buffers.of(memory, tuple(extents)), tuple(indices)


@dataclass(slots=True)
class Access:
    """Reads operands in one kernel. `inside` gives values the kernel itself computes, else None.

    While `clamped`, what is read may be thrown away and lie anywhere, so memory is read where it exists.
    """

    buffers: Buffers
    inside: Callable[[Node, Position], Expr | None]
    clamped: bool = False

    def read(self, node: Node, position: Position) -> Expr:
        """The value of `node` at a position along its own axes."""
        while True:
            found = self.inside(node, position)
            if found is not None:
                return found
            if is_scalar_constant(node):
                return constant(node.attrs["value"].item(), node.type.dtype)
            if node.op is EXTENT:
                return Cast(extent_expr(node.attrs["extent"]), node.type.dtype)
            if not is_view(node):
                return self._load(*place(self.buffers, node, position))
            if node.op is IOTA:
                return _plain(position)[node.attrs["axis"]]
            if node.op is PAD:
                return self._padded(node, _plain(position))
            if node.op is CONCAT:
                return self._joined(node, _plain(position))
            if node.op is RESHAPE and not is_view(node.inputs[0]) and self._in_memory(node.inputs[0]):
                return self._aliased(node, position)
            position = _moved(node, position)
            node = node.inputs[0]

    def _in_memory(self, node: Node) -> bool:
        known = is_scalar_constant(node) or node.op is EXTENT
        return not known and self.inside(node, [ZERO] * node.type.rank) is None

    def _aliased(self, view: Node, position: Position) -> Expr:
        """A reshape of memory is the same memory under another shape."""
        source = view.inputs[0]
        extents: list[Extent] = []
        indices: list[Expr] = []
        pending: Extent = 1
        for extent, at in zip(view.type.shape, position, strict=True):
            pending = pending * extent
            if not isinstance(at, Merged):
                extents.append(pending)
                indices.append(at)
                pending = 1
        return self._load(self.buffers.of(source, tuple(extents)), tuple(indices))

    def _load(self, buffer: Buffer, indices: tuple[Expr, ...]) -> Load:
        if self.clamped:
            indices = tuple(_clamped(i, e) for i, e in zip(indices, buffer.shape, strict=True))
        return Load(buffer, indices)

    def _perhaps(self, source: Node, position: list[Expr]) -> Expr:
        """An element whose position was clamped to the source, which may turn out to have no elements."""
        before = self.clamped
        self.clamped = before or not all(is_positive(e) for e in source.type.shape)
        value = self.read(source, position)
        self.clamped = before
        return value

    def _padded(self, view: Node, position: list[Expr]) -> Expr:
        """The operand where the position meets one of its elements, else the padding."""
        (source,) = view.inputs
        padding = constant(view.attrs["value"], view.type.dtype)
        if 0 in source.type.shape:
            return padding
        inside: Expr | None = None
        moved: list[Expr] = []
        for at, extent, (before, _, between) in zip(
            position, source.type.shape, view.attrs["widths"], strict=True
        ):
            offset = binary("sub", at, index(before))
            tests = [Binary("ge", offset, ZERO)]
            if between:
                tests.append(Binary("eq", binary("mod", offset, index(between + 1)), ZERO))
            where = binary("div", offset, index(between + 1))
            tests.append(Binary("lt", where, index(extent)))
            if (before, view.type.shape[len(moved)]) != (0, extent):
                for test in tests:
                    inside = test if inside is None else binary("and", inside, test)
            moved.append(_clamped(where, extent))
        value = self._perhaps(source, moved)
        if inside is None:
            return value
        return select(inside, value, padding)

    def _joined(self, view: Node, position: list[Expr]) -> Expr:
        """The part whose stretch along the axis holds the position."""
        axis = view.attrs["axis"]
        start: Extent = 0
        pieces: list[tuple[Extent, Expr]] = []
        for part in view.inputs:
            extent = part.type.shape[axis]
            if extent == 0:
                continue
            moved = list(position)
            moved[axis] = _clamped(binary("sub", position[axis], index(start)), extent)
            pieces.append((start, self._perhaps(part, moved)))
            start = start + extent
        if not pieces:
            return constant(0, view.type.dtype)
        value = pieces[0][1]
        for begin, piece in pieces[1:]:
            value = select(Binary("ge", position[axis], index(begin)), piece, value)
        return value


def _clamped(at: Expr, extent: Extent) -> Expr:
    """Kept inside the operand, so that a masked-out element is loaded from somewhere legal."""
    top = binary("maximum", binary("sub", index(extent), Const(1, int64)), ZERO)
    return binary("minimum", binary("maximum", at, ZERO), top)


def _plain(position: Position) -> list[Expr]:
    if any(isinstance(at, Merged) for at in position):
        raise CompileError("merged axes met a view that takes positions apart")
    return [at for at in position if isinstance(at, Expr)]


def _moved(view: Node, position: Position) -> Position:
    """The operand's position that a view's position stands for."""
    shape = view.inputs[0].type.shape
    if view.op is BROADCAST:
        lead = view.type.rank - len(shape)
        return [
            ZERO if extent == 1 and view.type.shape[lead + i] != 1 else position[lead + i]
            for i, extent in enumerate(shape)
        ]
    if view.op is PERMUTE:
        order = view.attrs["axes"]
        return [position[order.index(i)] for i in range(len(shape))]
    if view.op is RESHAPE:
        return _reshaped(view.type.shape, shape, position)
    if view.op is FLIP:
        axes = view.attrs["axes"]
        plain = _plain(position)
        return [
            binary("sub", index(extent - 1), plain[i]) if i in axes else plain[i]
            for i, extent in enumerate(shape)
        ]
    if view.op is SLICE:
        return _sliced(view, position)
    raise CompileError(f"no rule reads through the view {view.op.name}")


def _sliced(view: Node, position: Position) -> Position:
    moved: list[Expr | Merged] = []
    for at, bound, extent in zip(position, view.attrs["bounds"], view.inputs[0].type.shape, strict=True):
        start, _, step = bound
        if bound == FIRST:
            moved.append(ZERO)
        elif bound == (0, extent, 1):
            moved.append(at)
        else:
            (plain,) = _plain([at])
            moved.append(binary("add", binary("mul", plain, Const(step, int64)), index(start)))
    return moved


def _reshaped(new: Shape, old: Shape, position: Position) -> Position:
    """Drop and add axes of size 1 as they are; anything else goes through the flat position."""
    kept = [at for at, extent in zip(position, new, strict=True) if extent != 1]
    if [e for e in new if e != 1] == [e for e in old if e != 1]:
        left = iter(kept)
        return [ZERO if extent == 1 else next(left) for extent in old]
    flat = flat_position(new, position)
    moved: list[Expr] = []
    for i, extent in enumerate(old):
        inner = product(old[i + 1 :])
        here = binary("div", flat, index(inner))
        moved.append(here if i == 0 else binary("mod", here, index(extent)))
    return moved


def flat_position(shape: Shape, position: Position) -> Expr:
    """The row-major number of an element."""
    flat: Expr = ZERO
    for extent, at in zip(shape, position, strict=True):
        flat = binary("mul", flat, index(extent))
        if isinstance(at, Expr):
            flat = binary("add", flat, at)
    return flat
