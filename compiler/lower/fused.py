"""What rows and columns share: evaluating a cluster's nodes into Lets, stores and reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from compiler.clusters import Cluster
from compiler.loop.grammar import (
    Accumulate,
    Buffer,
    Cast,
    Const,
    Expr,
    Let,
    Load,
    Local,
    Reducer,
    Statement,
    Store,
    constant,
    index,
)
from compiler.lower.access import Access, Buffers, Home, Merged, Position, flat_position, place
from compiler.lower.nest import domain_position, group_axes, node_position
from compiler.lower.scalars import LOOP
from compiler.lower.sweeps import Sweep, Sweeps
from symgraph.errors import CompileError
from symgraph.graph import Node
from symgraph.op import Kind
from symgraph.ops.window import Tap, Window, gather_taps, spread_taps
from symgraph.types import FLOATS, DType, int64


def identity(reducer: str, dtype: DType) -> Const:
    """The value that changes nothing: 0, 1, or the end of the dtype's range."""
    if reducer in ("add", "multiply"):
        return constant(0 if reducer == "add" else 1, dtype)
    if dtype in FLOATS:
        return constant(float("-inf") if reducer == "maximum" else float("inf"), dtype)
    info = np.iinfo(dtype)
    return constant(info.min if reducer == "maximum" else info.max, dtype)


# Bytes from which a value does not stay in a cache until its next reader comes.
STREAMED = 16 * 1024 * 1024
Target = tuple[Buffer, tuple[Expr, ...]]


class Fused:
    """One kernel being written: a table of values known where the writing stands."""

    def __init__(self, cluster: Cluster, home: Home):
        self.cluster = cluster
        self.buffers = Buffers(home)
        self.access = Access(self.buffers, self._inside)
        self.groups = group_axes(cluster)
        self.position = domain_position(cluster, self.groups)
        self.members = set(cluster.nodes)
        self.inlined = set(cluster.inlined)
        self.known: dict[Node, Expr] = {}
        self.spill: dict[Node, Callable[[], Target]] = {}
        self._names = 0

    def fresh(self, prefix: str) -> str:
        """A new name; the dot keeps it apart from named dimensions, which are identifiers."""
        self._names += 1
        return f"{prefix}.{self._names}"

    def _inside(self, node: Node, position: Position) -> Expr | None:
        if node in self.known:
            return self.known[node]
        if node in self.inlined:
            return node.op.body(LOOP, *(self.access.read(i, position) for i in node.inputs), **node.attrs)
        return None

    def position_of(self, node: Node) -> list[Expr | Merged]:
        return node_position(self.cluster.labels[node], self.position)

    def bind(self, node: Node, statements: list[Statement]) -> Expr:
        """Compute a node here, under a name."""
        value = self.formula(node)
        if not isinstance(value, Local | Const):
            local = Local(self.fresh("v"), value.dtype)
            statements.append(Let(local.name, value))
            value = local
        self.known[node] = value
        return value

    def formula(self, node: Node) -> Expr:
        """The expression of an elementwise, random, gathering or window node at its position."""
        position = self.position_of(node)
        if node.op.kind is Kind.GATHER:
            return self._gathered(node, position)
        if node.op.kind is Kind.WINDOW:
            return self._windowed(node, position)
        if node.op.kind is Kind.RANDOM:
            operands = [self.access.read(i, []) for i in node.inputs]
            return node.op.body(LOOP, *operands, _drawn_at(node, position), **node.attrs)
        if node.op.kind is not Kind.ELEMENTWISE:
            raise CompileError(f"{node.op.name} cannot be computed at an element")
        operands = [self.access.read(i, position) for i in node.inputs]
        return node.op.body(LOOP, *operands, **node.attrs)

    def _gathered(self, node: Node, position: list[Expr | Merged]) -> Expr:
        table, indices = node.inputs
        axis = node.attrs["axis"]
        end = axis + indices.type.rank
        at = self.access.read(indices, position[axis:end])
        return self.access.read(table, [*position[:axis], index64(at), *position[end:]])

    def _windowed(self, node: Node, position: list[Expr | Merged]) -> Expr:
        """The formula over every tap, its operands read there."""
        window: Window = node.op.body
        split = len(node.inputs) - window.own
        taps = []
        for tap in _taps(node, [at for at in position[1:-1] if isinstance(at, Expr)]):
            at = [position[0], *tap.place, position[-1]]
            taps.append((tap, tuple(self.access.read(i, at) for i in node.inputs[:split])))
        return window.formula(LOOP, taps, *(self.access.read(i, position) for i in node.inputs[split:]))

    def store(self, node: Node, value: Expr) -> Store:
        buffer, indices = place(self.buffers, node, self.position_of(node))
        return Store(buffer, indices, value)

    def operand(self, reduction: Node) -> Expr:
        """The reduced operand at the current element."""
        return self.access.read(reduction.inputs[0], list(self.position))

    def element(
        self,
        sweep: Sweep,
        sweeps: Sweeps,
        number: int,
        accumulate: Iterable[tuple[Node, Callable[[Expr], Statement]]],
    ) -> tuple[Statement, ...]:
        """What one sweep does at one element: compute, store, accumulate."""
        outer = dict(self.known)
        statements: list[Statement] = []
        # Stores come last: one may overwrite the state that a later formula still reads here.
        stores: list[Statement] = []
        stored = set(self.cluster.stored) | set(sweeps.spilled)
        for node in sweep.compute:
            if node in stored and sweeps.level[node] < number:
                self._reload(node, statements)
                continue
            value = self.bind(node, statements)
            if node in sweep.stores:
                later = any(node in s.compute for s in sweeps.sweeps[number + 1 :])
                stores.extend(self._keep(node, value, again=later))
        for reduction, add in accumulate:
            statements.append(add(self.operand(reduction)))
        self.known = outer
        return (*statements, *stores)

    def _reload(self, node: Node, statements: list[Statement]) -> None:
        if node in self.spill:
            buffer, indices = self.spill[node]()
        else:
            buffer, indices = place(self.buffers, node, self.position_of(node))
        local = Local(self.fresh("v"), buffer.dtype)
        statements.append(Let(local.name, Load(buffer, indices)))
        self.known[node] = local

    def _keep(self, node: Node, value: Expr, again: bool) -> list[Statement]:
        """Stores of a value; past the cache if it is too large for it and not read again here."""
        kept: list[Statement] = []
        size = node.type.bytes
        streaming = not again and isinstance(size, int) and size >= STREAMED
        if node in self.spill:
            kept.append(Store(*self.spill[node](), value))
        if node in self.cluster.stored:
            kept.append(replace(self.store(node, value), streaming=streaming))
        return kept


def _drawn_at(node: Node, position: list[Expr | Merged]) -> Expr:
    """Where in the stream of random numbers an element is drawn."""
    order = node.attrs.get("order", ())
    if not order:
        return flat_position(node.type.shape, position)
    return flat_position(node.attrs["shape"], [position[order.index(a)] for a in range(len(order))])


def _taps(node: Node, position: list[Expr]) -> Iterable[Tap]:
    size, stride = node.attrs["size"], node.attrs["stride"]
    if not node.op.body.spreads:
        return gather_taps(position, size, stride)
    counts = node.inputs[0].type.shape[1:-1]
    return spread_taps(LOOP, position, size, stride, node.attrs["extents"], counts, index)


def index64(value: Expr) -> Expr:
    return value if value.dtype == int64 else Cast(value, int64)


def accumulate_into(
    buffer: Buffer, indices: tuple[Expr, ...], reduction: Node
) -> Callable[[Expr], Statement]:
    reducer: Reducer = reduction.op.body
    return lambda value: Accumulate(buffer, indices, value, reducer)

