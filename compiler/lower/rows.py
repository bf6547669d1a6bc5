"""Fused kernels whose lanes run along the reduced axes: elementwise work, layer norm, softmax, losses.

    for each row (shared among threads)
        sweep the row: compute, store, accumulate      as often as statistics depend on statistics

A row stays in the first cache between sweeps, so memory is read and written once.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.clusters import Cluster, Form
from compiler.loop.grammar import (
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Local,
    Mode,
    Statement,
    Store,
    binary,
    index,
)
from compiler.lower.access import ZERO, Home, Scratch, place
from compiler.lower.fused import Fused, accumulate_into, identity
from compiler.lower.nest import SHARE, Group, loop, nested, share_of, shared, whole_lanes
from compiler.lower.sweeps import Sweep, plan_sweeps
from compiler.schedule.jam import jam
from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.types import int64

# A row of at most this many elements is kept on the stack between sweeps.
LONGEST_ROW = 8192
MOST_PARTS = 16
# Rows of so many elements are taken several at a time: measured, longer ones gain nothing. More sums of each
# would not fit into the registers.
SHORT_ROW = range(2, 257)
TOGETHER = 4
MOST_SUMS = 3


class Rows(Fused):
    """Writes the kernel of a loop cluster row by row."""

    def __init__(self, cluster: Cluster, home: Home, axes: tuple[int, ...]):
        super().__init__(cluster, home)
        if axes:
            self.inner = tuple(g for g in self.groups if g.axes[0] in axes)
        else:
            self.inner = self.groups[-1:]
        self.outer = tuple(g for g in self.groups if g not in self.inner)
        self.crossing = frozenset(r for r in cluster.reductions if r.attrs["axes"] != axes)
        self.plan = plan_sweeps(cluster, self.crossing)
        self.partial: dict[Node, Scratch] = {}
        self.parts = self._count_parts() if self.crossing else 1
        self.cut = self._may_cut()
        if self.cut:
            self.crossing = frozenset(cluster.reductions)
            self.parts = self._count_parts()

    def _count_parts(self) -> int:
        """How many partial results of a crossing reduction are made side by side."""
        size = product(self.cluster.domain)
        if not self.outer and not self.cut:
            return 1
        return max(1, min(MOST_PARTS, size // SHARE)) if isinstance(size, int) else MOST_PARTS // 2

    def _may_cut(self) -> bool:
        """Whether all is one long row, swept once, that may be cut into parts for threads to share."""
        size = product(self.cluster.domain)
        if self.outer or self.crossing or not self.cluster.reductions or not isinstance(size, int):
            return False
        kept = {n for n in self.cluster.stored if not self.cluster.covers(n)}
        after = {*self.plan.final, *self.cluster.reductions}
        return size >= 2 * SHARE and len(self.plan.sweeps) == 1 and kept <= after

    def body(self) -> tuple[Statement, ...]:
        if self.cut:
            return self._cut_row()
        if self.crossing:
            return self._in_parts()
        if not self.outer and not self.cluster.reductions and self.groups:
            (group,) = self.inner
            return (shared(group, self._element(0), 1, vector=True),)
        row = self._row()
        if not self.outer:
            return row
        first, *rest = self.outer
        each = product(g.extent for g in (*rest, *self.inner))
        loops = shared(first, nested(tuple(rest), row, vector=False), each, vector=False)
        return (self._several_rows(loops),)

    def _several_rows(self, loops: For) -> For:
        """Several short rows at once: the end of each, where lanes are summed, is time to wait."""
        size = product(g.extent for g in self.inner)
        sums = max((len(sweep.reductions) for sweep in self.plan.sweeps), default=0)
        if not isinstance(size, int) or size not in SHORT_ROW or not 0 < sums <= MOST_SUMS:
            return loops
        return _jammed(loops, self.outer[-1].index.name)

    def _element(self, number: int) -> tuple[Statement, ...]:
        return self.element(self.plan.sweeps[number], self.plan, number, ())

    def _row(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for node in self.plan.spilled:
            statements.extend(self._spill(node))
        for number, sweep in enumerate(self.plan.sweeps):
            self._statistics(sweep.statistics, statements)
            statements.extend(self._sweep(sweep, number))
        self._statistics(self.plan.final, statements)
        # Last, as one may overwrite the state that a later formula of the row reads.
        own = (n for n in self.cluster.stored if n in self.known and n not in self.crossing)
        statements.extend(self.store(node, self.known[node]) for node in own)
        return tuple(statements)

    def _spill(self, node: Node) -> list[Statement]:
        extents = [g.extent for g in self.inner]
        static = product(extents)
        if isinstance(static, int) and static <= LONGEST_ROW:
            buffer = Buffer(self.fresh("row"), node.type.dtype, tuple(extents))
            indices = tuple(g.index for g in self.inner)
            self.spill[node] = lambda: (buffer, indices)
            return [Alloc(buffer)]
        memory = Scratch(self.cluster.domain, node.type.dtype)
        self.spill[node] = lambda: place(self.buffers, memory, list(self.position))
        return []

    def _statistics(self, nodes: tuple[Node, ...], statements: list[Statement]) -> None:
        """A row's own values, each computed once."""
        for node in nodes:
            if node not in self.known:
                self.bind(node, statements)

    def _sweep(self, sweep: Sweep, number: int) -> list[Statement]:
        before: list[Statement] = []
        after: list[Statement] = []
        adders = []
        for reduction in sweep.reductions:
            if reduction in self.crossing:
                adders.append((reduction, accumulate_into(*self._crossing_place(reduction), reduction)))
                continue
            total = Buffer(self.fresh("sum"), reduction.type.dtype, ())
            before += [Alloc(total), Store(total, (), identity(reduction.op.body, total.dtype))]
            adders.append((reduction, accumulate_into(total, (), reduction)))
            result = Local(self.fresh("r"), total.dtype)
            after.append(Let(result.name, Load(total, ())))
        body = self.element(sweep, self.plan, number, adders)
        own = [r for r in sweep.reductions if r not in self.crossing]
        for reduction, let in zip(own, after, strict=True):
            assert isinstance(let, Let)
            self.known[reduction] = Local(let.name, reduction.type.dtype)
        loops = nested(self.inner, body, vector=True) if body else ()
        return [*before, *loops, *after]

    def _crossing_place(self, reduction: Node) -> tuple[Buffer, tuple[Expr, ...]]:
        position = self.position_of(reduction)
        if self.parts == 1:
            return place(self.buffers, reduction, position)
        return place(self.buffers, self.partial[reduction], [Index("i.part"), *position])

    def _cleared_parts(self) -> list[Statement]:
        """Memory for the partial results of the crossing reductions, and what clears a part's."""
        for reduction in sorted(self.crossing, key=self.cluster.nodes.index):
            self.partial[reduction] = Scratch((self.parts, *reduction.type.shape), reduction.type.dtype)
        return [s for r in self.partial for s in self._clear(r)]

    def _cut_row(self) -> tuple[Statement, ...]:
        """The one row in a fixed number of parts; `finish_row` does what comes after it."""
        statements = self._cleared_parts()
        (sweep,) = self.plan.sweeps
        self._statistics(sweep.statistics, statements)
        adders = [(r, accumulate_into(*self._crossing_place(r), r)) for r in sweep.reductions]
        body = self.element(sweep, self.plan, 0, adders)
        first, *rest = self.inner
        inside = nested(tuple(rest), body, vector=True)
        return (self._part_loop(first, statements, inside, "serial" if rest else "vector"),)

    def _in_parts(self) -> tuple[Statement, ...]:
        """Rows in a fixed number of parts, each with its own partial results of the crossing reductions."""
        clear = self._cleared_parts()
        row = self._row()
        if not self.outer:
            return (*clear, *row)
        first, *rest = self.outer
        inside = nested(tuple(rest), row, vector=False)
        if self.parts == 1:
            return (*clear, loop(first, inside))
        return (self._several_rows(self._part_loop(first, clear, inside, "serial")),)

    def _part_loop(
        self, first: Group, before: list[Statement], inside: tuple[Statement, ...], mode: Mode
    ) -> For:
        parts = Const(self.parts, int64)
        part = Index("i.part")
        size = binary("div", index(first.extent + (self.parts - 1)), parts)
        if mode == "vector":
            size = whole_lanes(size)
        start, stop = share_of(first.extent, part, size)
        # More parts than rows: the last ones are empty.
        start, stop = (binary("minimum", bound, index(first.extent)) for bound in (start, stop))
        rows = For(first.index.name, start, stop, inside, mode=mode)
        return For(part.name, ZERO, parts, (*before, rows), mode="parallel")

    def _clear(self, reduction: Node) -> list[Statement]:
        """Set a crossing reduction's accumulators to the neutral element."""
        labels = set(self.cluster.labels[reduction])
        groups = tuple(g for g in self.groups if g.axes[-1] in labels)
        zero = identity(reduction.op.body, reduction.type.dtype)
        buffer, indices = self._crossing_place(reduction)
        return list(nested(groups, (Store(buffer, indices, zero),), vector=True))


def _jammed(loops: For, name: str) -> For:
    """The loop over `name` somewhere inside, several iterations at a time."""
    body: list[Statement] = []
    for statement in loops.body:
        if isinstance(statement, For) and statement.index == name:
            body.extend(jam(statement, TOGETHER))
        elif isinstance(statement, For):
            body.append(_jammed(statement, name))
        else:
            body.append(statement)
    return replace(loops, body=tuple(body))


def combine_parts(reduction: Node, partial: Scratch, home: Home) -> tuple[Fused, tuple[Statement, ...]]:
    """A second, small kernel: the partial results of a crossing reduction, combined in a fixed order."""
    cluster = Cluster(Form.LOOP, reduction.type.shape)
    writer = Fused(cluster, home)
    size: Extent = product(reduction.type.shape)
    parts = partial.shape[0]
    assert isinstance(parts, int)
    group = Group((0,), size, Index("i.0"))
    source = writer.buffers.of(partial, (parts, size))
    target = writer.buffers.of(reduction, (size,))
    total = _combined(reduction, [Load(source, (Const(p, int64), group.index)) for p in range(parts)])
    return writer, (loop(group, (Store(target, (group.index,), total),), "vector"),)


def finish_row(rows: Rows, home: Home) -> tuple[Fused, tuple[Statement, ...]]:
    """A second, small kernel after a row cut into parts: its reductions, and what is computed from them."""
    writer = Fused(rows.cluster, home)
    statements: list[Statement] = []
    for reduction, partial in rows.partial.items():
        source = writer.buffers.of(partial, (rows.parts,))
        local = Local(writer.fresh("r"), reduction.type.dtype)
        loads = [Load(source, (Const(part, int64),)) for part in range(rows.parts)]
        statements.append(Let(local.name, _combined(reduction, loads)))
        writer.known[reduction] = local
    for node in rows.plan.final:
        if node not in writer.known:
            writer.bind(node, statements)
    # Last, as one may overwrite the state that a later formula reads.
    own = (n for n in rows.cluster.stored if n in writer.known)
    return writer, (*statements, *(writer.store(node, writer.known[node]) for node in own))


def _combined(reduction: Node, parts: list[Load]) -> Expr:
    """Partial results combined in a fixed order."""
    op = "mul" if reduction.op.body == "multiply" else str(reduction.op.body)
    total: Expr = parts[0]
    for part in parts[1:]:
        total = binary(op, total, part)
    return total
