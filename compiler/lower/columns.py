"""Fused kernels whose lanes run along a kept axis: batch norm, gradients of biases, sums over rows.

    for each block of columns (shared among threads)
        sweep all rows: compute, store, accumulate into one accumulator a column
        statistics of the columns                      as often as statistics depend on statistics

Whole rows or wide blocks: narrow ones waste pages and the prefetcher. Where rows come from memory, threads
share the rows instead: column_parts.py.

A float sum of n rows is made in levels, whose errors do not grow with n: a few rows in a register, those in
an accumulator of BLOCK rows, and these with Kahan's compensation (1965).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compiler.clusters import Cluster
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Binary,
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
    select,
)
from compiler.loop.rewrite import substitute_all
from compiler.loop.walk import expressions, postorder, statements
from compiler.lower.access import ZERO, Home, Scratch, place
from compiler.lower.fused import Fused, Target, accumulate_into, identity
from compiler.lower.nest import SHARE, Group, nested
from compiler.lower.sweeps import Sweep, plan_sweeps
from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.types import FLOATS, DType, int64

WIDEST_BLOCK = 2048
NARROWEST_BLOCK = 128
IN_CACHE = 1 << 18  # elements of a domain that stays in the second cache
# Arrays a multiple of 4 KiB apart would compete for the same lines of the first cache.
SKEW = 16
# Rows in flight: more make better use of memory, but streaming stores to as many lines do not.
ROWS_READ, ROWS_WRITTEN = 8, 4
BLOCK_INDEX = Index("i.block")
BLOCK = 128  # rows whose sum stays in one level


@dataclass(frozen=True, slots=True)
class Total:
    """One reduction of a sweep: the result of each column, that of the rows at hand in a register, and where
    sums have levels that of a block and what rounding took from the result.
    """

    reduction: Node
    result: Target
    rows: Buffer
    block: Target | None = None
    lost: Target | None = None

    def clear(self, *targets: Target | None) -> list[Statement]:
        return [Store(*t, identity(self.reduction.op.body, t[0].dtype)) for t in targets if t is not None]

    def add(self, target: Target, value: Expr) -> Statement:
        return accumulate_into(*target, self.reduction)(value)


class Columns(Fused):
    """Writes the kernel of a loop cluster by blocks of columns."""

    def __init__(self, cluster: Cluster, home: Home, axes: tuple[int, ...]):
        super().__init__(cluster, home)
        self.plan = plan_sweeps(cluster, frozenset(), waiting=True)
        self.reduced = tuple(g for g in self.groups if g.axes[0] in axes)
        kept = tuple(g for g in self.groups if g not in self.reduced)
        self.outer, self.column = kept[:-1], kept[-1]
        self.rows: Extent = product(g.extent for g in self.reduced)
        self.width = self._width()
        start = binary("mul", BLOCK_INDEX, Const(self.width, int64))
        self.start = start
        self.end = binary("minimum", binary("add", start, Const(self.width, int64)), index(self.column.extent))
        self.arrays: list[Statement] = []
        self.kept: dict[Node, Scratch] = {}

    def _width(self) -> int:
        """Columns in a block: whole rows where they come from memory, else enough blocks for two threads.

        Half rows of 4 KiB were three times slower than whole ones: the prefetcher stops at every gap.
        """
        extent, size = self.column.extent, product(self.cluster.domain)
        if not isinstance(extent, int):
            return WIDEST_BLOCK // 4
        if isinstance(size, int) and 2 * SHARE <= size <= IN_CACHE:
            half = -(-extent // 2)
            return min(WIDEST_BLOCK, max(NARROWEST_BLOCK, -(-half // 64) * 64))
        return max(1, min(extent, WIDEST_BLOCK))

    def body(self) -> tuple[Statement, ...]:
        return without_unread((self.in_blocks(nested(self.outer, self._block(), vector=False), "parallel"),))

    def in_blocks(self, inside: tuple[Statement, ...], mode: Mode) -> For:
        """`inside` for every block of columns."""
        blocks = binary("div", index(self.column.extent + (self.width - 1)), Const(self.width, int64))
        return For(BLOCK_INDEX.name, ZERO, blocks, inside, mode=mode)

    def _block(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for number, sweep in enumerate(self.plan.sweeps):
            statements.extend(self.statistics(sweep.statistics))
            statements.extend(self.sweep(sweep, number))
        statements.extend(self.statistics(self.plan.final))
        return (*self.arrays, *statements, *self.results())

    def results(self) -> list[Statement]:
        """Stores of the columns' own values, after all else: one may overwrite the state that a formula reads."""
        stores = tuple(self.store(n, self.known[n]) for n in self.cluster.stored if n in self.known)
        return [self.along(stores)] if stores else []

    def memory_of(self, node: Node) -> Scratch:
        """Where a value stays from one sweep to another."""
        if node not in self.kept:
            self.kept[node] = Scratch(self.cluster.domain, node.type.dtype)
        return self.kept[node]

    def along(self, body: tuple[Statement, ...]) -> For:
        return For(self.column.index.name, self.start, self.end, body, mode="vector")

    def _array(self, dtype: DType) -> tuple[Buffer, tuple[Expr, ...]]:
        """A value for each column of the block."""
        buffer = Buffer(self.fresh("column"), dtype, (self.width + SKEW,))
        self.arrays.append(Alloc(buffer))
        return buffer, (binary("sub", self.column.index, self.start),)

    def statistics(self, nodes: tuple[Node, ...]) -> list[Statement]:
        """The columns' own values, each computed once, kept for the sweeps that follow."""
        body: list[Statement] = []
        arrays: dict[Node, Expr] = {}
        for node in nodes:
            value = self.known[node] if node in self.known else self.bind(node, body)
            if not isinstance(value, Load):
                buffer, indices = self._array(node.type.dtype)
                body.append(Store(buffer, indices, value))
                arrays[node] = Load(buffer, indices)
        self.known.update(arrays)
        return [self.along(tuple(body))] if body else []

    def sweep(self, sweep: Sweep, number: int) -> list[Statement]:
        """One sweep of the rows at hand; then the results of its reductions are known."""
        for node in self.plan.spilled:
            self.spill[node] = lambda m=self.memory_of(node): place(self.buffers, m, list(self.position))
        totals = [self._total(reduction) for reduction in sweep.reductions]
        adders = [(t.reduction, accumulate_into(t.rows, (), t.reduction)) for t in totals]
        body = self.element(sweep, self.plan, number, adders)
        self.known.update({t.reduction: Load(*t.result) for t in totals})
        clear = [s for t in totals for s in t.clear(t.result, t.lost)]
        loops = self._over_rows(body, totals, ROWS_WRITTEN if sweep.stores else ROWS_READ) if body else ()
        return [*([self.along(tuple(clear))] if clear else []), *loops]

    def _total(self, reduction: Node) -> Total:
        dtype = reduction.type.dtype
        result, rows = self._array(dtype), Buffer(self.fresh("rows"), dtype, ())
        if reduction.op.body != "add" or dtype not in FLOATS or not self._has_levels():
            return Total(reduction, result, rows)
        return Total(reduction, result, rows, self._array(dtype), self._array(dtype))

    def _has_levels(self) -> bool:
        return not isinstance(self.rows, int) or self.rows > BLOCK

    def _over_rows(self, body: tuple[Statement, ...], totals: list[Total], together: int) -> tuple[Statement, ...]:
        """The body at every row, in blocks of rows where a total has levels."""
        cut = self._cut() if any(t.block for t in totals) else 0
        group, (start, stop) = self.reduced[cut], self.bounds(self.reduced[cut])
        if any(t.block for t in totals):
            first, inner = Index("i.first"), product(g.extent for g in self.reduced[cut + 1 :])
            size = max(1, BLOCK // inner) if isinstance(inner, int) and inner else 1
            end = binary("minimum", binary("add", first, Const(size, int64)), stop)
            inside = self._rows_of(cut, first, end, body, totals, together)
            clear = [s for t in totals for s in t.clear(t.block)]
            gather = [s for t in totals for s in self._joined(t)]
            block = (self.along(tuple(clear)), *inside, self.along(tuple(gather)))
            loops: tuple[Statement, ...] = (For(first.name, start, stop, block, size),)
        else:
            loops = self._rows_of(cut, start, stop, body, totals, together)
        for outer in reversed(self.reduced[:cut]):
            loops = (For(outer.index.name, *self.bounds(outer), loops),)
        return loops

    def bounds(self, group: Group) -> tuple[Expr, Expr]:
        """The rows at hand along one of the reduced groups."""
        return ZERO, index(group.extent)

    def _cut(self) -> int:
        """Which of the reduced groups is cut into blocks: the innermost that makes BLOCK rows."""
        sizes: list[Extent] = [product(g.extent for g in self.reduced[i:]) for i in range(len(self.reduced))]
        large = [i for i, size in enumerate(sizes) if not isinstance(size, int) or size >= BLOCK]
        return large[-1] if large else 0

    def _rows_of(
        self, cut: int, start: Expr, stop: Expr, body: tuple[Statement, ...], totals: list[Total], together: int
    ) -> tuple[Statement, ...]:
        """All rows from `start` to `stop` along group `cut`, a few rows at a time.

        What is a column's own is loaded once for these few.
        """
        group, row = self.reduced[cut], self.reduced[-1]
        if row is not group:
            inner = self._rows_of(len(self.reduced) - 1, ZERO, index(row.extent), body, totals, together)
            inner = nested(self.reduced[cut + 1 : -1], inner, vector=False)
            return (For(group.index.name, start, stop, inner),)
        single = For(row.index.name, start, stop, (self._strip(body, totals),))
        if isinstance(row.extent, int) and row.extent < together:
            return (single,)
        first, number = Index("i.rows"), Index("i.row")
        repeated = substitute_all(body, {row.index.name: binary("add", first, number)})
        few = For(number.name, ZERO, Const(together, int64), repeated, mode="unroll")
        whole = binary("div", binary("sub", stop, start), Const(together, int64))
        done = binary("add", start, binary("mul", whole, Const(together, int64)))
        return (
            For(first.name, start, done, (self._strip((few,), totals),), together),
            replace(single, start=done),
        )

    def _strip(self, body: tuple[Statement, ...], totals: list[Total]) -> For:
        """All columns of some rows, whose sums stay in registers until they join those of the block."""
        before = [s for t in totals for s in (Alloc(t.rows), *t.clear((t.rows, ())))]
        after = [t.add(t.block or t.result, Load(t.rows, ())) for t in totals]
        return self.along((*before, *body, *after))

    def _joined(self, total: Total) -> list[Statement]:
        """A block's result joins the column's; a sum with what was lost before."""
        if total.block is None or total.lost is None:
            return []
        value, sum_, rest = (Local(self.fresh("v"), total.reduction.type.dtype) for _ in range(3))
        return [
            Let(value.name, Load(*total.block) - Load(*total.lost)),
            Let(sum_.name, Load(*total.result) + value),
            Let(rest.name, (sum_ - Load(*total.result)) - value),
            # At infinity the rest is NaN, and would turn the sum into one.
            Store(*total.lost, select(Binary("eq", rest, rest), rest, 0.0)),
            Store(*total.result, sum_),
        ]


def without_unread(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The body without scratch that nothing reads: most statistics are used where they are computed."""
    read: set[str] = set()
    own: set[str] = set()
    for statement in statements(body):
        read.update(e.buffer.name for e in postorder(expressions(statement)) if isinstance(e, Load))
        if isinstance(statement, Accumulate):
            read.add(statement.buffer.name)
        elif isinstance(statement, Alloc):
            own.add(statement.buffer.name)
    return _without(body, own - read)


def _without(body: tuple[Statement, ...], gone: set[str]) -> tuple[Statement, ...]:
    kept: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            statement = replace(statement, body=_without(statement.body, gone))
        if not (isinstance(statement, (Alloc, Store)) and statement.buffer.name in gone):
            kept.append(statement)
    return tuple(kept)
