"""Sums over the rows of a block of columns, one accumulator a column, with lanes along the columns.

A few rows at a time: what is a column's own is loaded once for them, and more of the memory is in flight.
A float sum of n rows is made in levels, whose errors do not grow with n: a few rows in a register, those in
an accumulator of BLOCK rows, and these with Kahan's compensation (1965).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from compiler.clusters import Cluster
from compiler.loop.grammar import (
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
    Statement,
    Store,
    binary,
    index,
    select,
)
from compiler.loop.rewrite import substitute_all
from compiler.lower.access import ZERO, Home
from compiler.lower.fused import Fused, Target, accumulate_into, identity
from compiler.lower.nest import SHARE, Group, nested
from symgraph.dimension import Extent, product
from symgraph.graph import Node
from symgraph.types import FLOATS, DType, int64

WIDEST_BLOCK = 2048
NARROWEST_BLOCK = 128
IN_CACHE = 1 << 18  # elements of a domain that stays in the second cache
# Arrays a multiple of 4 KiB apart would compete for the same lines of the first cache.
SKEW = 16
# Rows in flight: more make better use of memory, but more streams of stores do not.
ROWS_READ, ROWS_WRITTEN = 8, 4
BLOCK = 128  # rows whose sum stays in one level
BLOCK_OF_COLUMNS = Index("i.block")


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

    def add_rows(self) -> Statement:
        """The rows at hand join their block, or the result at once."""
        return accumulate_into(*(self.block or self.result), self.reduction)(Load(self.rows, ()))


@dataclass(frozen=True, slots=True)
class Strips:
    """What happens at one row, `body`, repeated over a few rows whose sums stay in registers meanwhile."""

    body: tuple[Statement, ...]
    totals: tuple[Total, ...]
    together: int

    def single(self) -> tuple[Statement, ...]:
        before = [s for t in self.totals for s in (Alloc(t.rows), *t.clear((t.rows, ())))]
        return (*before, *self.body, *(t.add_rows() for t in self.totals))

    def several(self, row: Index, first: Index) -> tuple[Statement, ...]:
        """Rows `first` and on."""
        number = Index("i.row")
        repeated = substitute_all(self.body, {row.name: binary("add", first, number)})
        loop = For(number.name, ZERO, Const(self.together, int64), repeated, mode="unroll")
        return replace(self, body=(loop,)).single()


class ColumnSums(Fused):
    """Writes loops over the rows of a block of columns. `rows` is how many rows one accumulator sees."""

    def __init__(self, cluster: Cluster, home: Home, axes: tuple[int, ...]):
        super().__init__(cluster, home)
        self.reduced = tuple(g for g in self.groups if g.axes[0] in axes)
        kept = tuple(g for g in self.groups if g not in self.reduced)
        self.outer, self.column = kept[:-1], kept[-1]
        self.rows: Extent = product(g.extent for g in self.reduced)
        self.width = self._width()
        self.start = binary("mul", BLOCK_OF_COLUMNS, Const(self.width, int64))
        end = binary("add", self.start, Const(self.width, int64))
        self.end = binary("minimum", end, index(self.column.extent))
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

    def along(self, body: tuple[Statement, ...]) -> For:
        return For(self.column.index.name, self.start, self.end, body, mode="vector")

    def array(self, dtype: DType) -> tuple[Buffer, tuple[Expr, ...]]:
        """A value for each column of the block."""
        buffer = Buffer(self.fresh("column"), dtype, (self.width + SKEW,))
        self.arrays.append(Alloc(buffer))
        return buffer, (binary("sub", self.column.index, self.start),)

    def total(self, reduction: Node) -> Total:
        dtype = reduction.type.dtype
        result, rows = self.array(dtype), Buffer(self.fresh("rows"), dtype, ())
        few = isinstance(self.rows, int) and self.rows <= BLOCK
        if few or reduction.op.body != "add" or dtype not in FLOATS:
            return Total(reduction, result, rows)
        return Total(reduction, result, rows, self.array(dtype), self.array(dtype))

    def bounds(self, group: Group) -> tuple[Expr, Expr]:
        """The rows at hand along one of the reduced groups."""
        return ZERO, index(group.extent)

    def over_rows(self, body: tuple[Statement, ...], totals: list[Total], *, writes: bool) -> list[Statement]:
        """The body at every row; it adds to `rows` of the totals, whose results are complete at the end."""
        strips = Strips(body, tuple(totals), ROWS_WRITTEN if writes else ROWS_READ)
        levels = any(t.block for t in totals)
        cut = self._cut() if levels else 0
        start, stop = self.bounds(self.reduced[cut])
        loops = (self._in_levels if levels else self._rows_of)(cut, start, stop, strips)
        for outer in reversed(self.reduced[:cut]):
            loops = (For(outer.index.name, *self.bounds(outer), loops),)
        clear = tuple(s for t in totals for s in t.clear(t.result, t.lost))
        return [*([self.along(clear)] if clear else []), *loops]

    def _cut(self) -> int:
        """Which of the reduced groups is cut into blocks: the innermost that makes BLOCK rows."""
        sizes: list[Extent] = [product(g.extent for g in self.reduced[i:]) for i in range(len(self.reduced))]
        large = [i for i, size in enumerate(sizes) if not isinstance(size, int) or size >= BLOCK]
        return large[-1] if large else 0

    def _in_levels(self, cut: int, start: Expr, stop: Expr, strips: Strips) -> tuple[Statement, ...]:
        """Blocks of rows, each of which joins the results when it is complete."""
        first, inner = Index("i.first"), product(g.extent for g in self.reduced[cut + 1 :])
        size = max(1, BLOCK // inner) if isinstance(inner, int) and inner else 1
        end = binary("minimum", binary("add", first, Const(size, int64)), stop)
        clear = [s for t in strips.totals for s in t.clear(t.block)]
        join = [s for t in strips.totals for s in self._joined(t)]
        rows = self._rows_of(cut, first, end, strips)
        block = (self.along(tuple(clear)), *rows, self.along(tuple(join)))
        return (For(first.name, start, stop, block, size),)

    def _rows_of(self, cut: int, start: Expr, stop: Expr, strips: Strips) -> tuple[Statement, ...]:
        """All rows from `start` to `stop` along group `cut`."""
        group, row = self.reduced[cut], self.reduced[-1]
        if row is not group:
            inner = self._rows_of(len(self.reduced) - 1, ZERO, index(row.extent), strips)
            inner = nested(self.reduced[cut + 1 : -1], inner, vector=False)
            return (For(group.index.name, start, stop, inner),)
        single = For(row.index.name, start, stop, (self.along(strips.single()),))
        if isinstance(row.extent, int) and row.extent < strips.together:
            return (single,)
        first, together = Index("i.rows"), Const(strips.together, int64)
        whole = binary("div", binary("sub", stop, start), together)
        done = binary("add", start, binary("mul", whole, together))
        several = (self.along(strips.several(row.index, first)),)
        return (For(first.name, start, done, several, strips.together), replace(single, start=done))

    def _joined(self, total: Total) -> list[Statement]:
        """A block's sum joins the column's, less what was lost before."""
        if total.block is None or total.lost is None:
            return []
        value, result, rest = (Local(self.fresh("v"), total.reduction.type.dtype) for _ in range(3))
        return [
            Let(value.name, Load(*total.block) - Load(*total.lost)),
            Let(result.name, Load(*total.result) + value),
            Let(rest.name, (result - Load(*total.result)) - value),
            # At infinity the rest is NaN, and would turn the sum into one.
            Store(*total.lost, select(Binary("eq", rest, rest), rest, 0.0)),
            Store(*total.result, result),
        ]
