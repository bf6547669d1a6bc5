"""Fused kernels whose lanes run along a kept axis: batch norm, gradients of biases, sums over rows.

    for each block of columns (shared among threads)
        sweep all rows: compute, store, accumulate into one accumulator a column
        statistics of the columns                      as often as statistics depend on statistics

Whole rows or wide blocks: narrow ones waste pages and the prefetcher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compiler.clusters import Cluster
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    Index,
    Load,
    Statement,
    Store,
    binary,
    index,
)
from compiler.loop.rewrite import substitute_all
from compiler.loop.walk import expressions, postorder, statements
from compiler.lower.access import ZERO, Scratch, place
from compiler.lower.fused import Fused, accumulate_into, identity
from compiler.lower.nest import SHARE, nested
from compiler.lower.sweeps import Sweep, plan_sweeps
from symgraph.dimension import product
from symgraph.graph import Node
from symgraph.types import DType, int64

WIDEST_BLOCK = 2048
NARROWEST_BLOCK = 128
IN_CACHE = 1 << 18  # elements of a domain that stays in the second cache
# Arrays a multiple of 4 KiB apart would compete for the same lines of the first cache.
SKEW = 16
ROWS_AT_ONCE = 4


class Columns(Fused):
    """Writes the kernel of a loop cluster by blocks of columns."""

    def __init__(self, cluster: Cluster, home: Callable[[Node], Node], axes: tuple[int, ...]):
        super().__init__(cluster, home)
        self.plan = plan_sweeps(cluster, frozenset())
        self.reduced = tuple(g for g in self.groups if g.axes[0] in axes)
        kept = tuple(g for g in self.groups if g not in self.reduced)
        self.outer, self.column = kept[:-1], kept[-1]
        self.width = self._width()
        self.arrays: list[Statement] = []

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
        block = Index("i.block")
        start = binary("mul", block, Const(self.width, int64))
        end = binary("minimum", binary("add", start, Const(self.width, int64)), index(self.column.extent))
        self.start, self.end = start, end
        inside = self._block()
        blocks = binary("div", index(self.column.extent + (self.width - 1)), Const(self.width, int64))
        body = nested(self.outer, inside, vector=False)
        return without_unread((For(block.name, ZERO, blocks, body, mode="parallel"),))

    def _block(self) -> tuple[Statement, ...]:
        for node in self.plan.spilled:
            memory = Scratch(self.cluster.domain, node.type.dtype)
            self.spill[node] = lambda m=memory: place(self.buffers, m, list(self.position))
        statements: list[Statement] = []
        for number, sweep in enumerate(self.plan.sweeps):
            statements.extend(self._statistics(sweep.statistics))
            statements.extend(self._sweep(sweep, number))
        statements.extend(self._statistics(self.plan.final))
        # Last, as one may overwrite the state that a later formula of the column reads.
        stores = tuple(self.store(n, self.known[n]) for n in self.cluster.stored if n in self.known)
        return (*self.arrays, *statements, *([self._along(stores)] if stores else []))

    def _along(self, body: tuple[Statement, ...]) -> For:
        return For(self.column.index.name, self.start, self.end, body, mode="vector")

    def _array(self, dtype: DType) -> tuple[Buffer, tuple[Expr, ...]]:
        """A value for each column of the block."""
        buffer = Buffer(self.fresh("column"), dtype, (self.width + SKEW,))
        self.arrays.append(Alloc(buffer))
        return buffer, (binary("sub", self.column.index, self.start),)

    def _statistics(self, nodes: tuple[Node, ...]) -> list[Statement]:
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
        return [self._along(tuple(body))] if body else []

    def _sweep(self, sweep: Sweep, number: int) -> list[Statement]:
        clear: list[Statement] = []
        adders = []
        results: dict[Node, Expr] = {}
        for reduction in sweep.reductions:
            buffer, indices = self._array(reduction.type.dtype)
            clear.append(Store(buffer, indices, identity(reduction.op.body, buffer.dtype)))
            adders.append((reduction, accumulate_into(buffer, indices, reduction)))
            results[reduction] = Load(buffer, indices)
        body = self.element(sweep, self.plan, number, adders)
        self.known.update(results)
        statements: list[Statement] = [self._along(tuple(clear))] if clear else []
        if body:
            statements.extend(self._over_rows(body))
        return statements

    def _over_rows(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The body at every row, a few rows at a time: what is a column's own is loaded once for all."""
        *outer, row = self.reduced
        if isinstance(row.extent, int) and row.extent < 2 * ROWS_AT_ONCE:
            return nested(self.reduced, (self._along(body),), vector=False)
        first, number = Index("i.rows"), Index("i.row")
        at = binary("add", binary("mul", first, Const(ROWS_AT_ONCE, int64)), number)
        together = For(
            number.name,
            ZERO,
            Const(ROWS_AT_ONCE, int64),
            substitute_all(body, {row.index.name: at}),
            mode="unroll",
        )
        groups = binary("div", index(row.extent), Const(ROWS_AT_ONCE, int64))
        done = binary("mul", groups, Const(ROWS_AT_ONCE, int64))
        loops = (
            For(first.name, ZERO, groups, (self._along((together,)),)),
            For(row.index.name, done, index(row.extent), (self._along(body),)),
        )
        return nested(tuple(outer), loops, vector=False)


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
