"""Contractions of few rows or columns, at the speed of memory: the large operand is read once.

    dots     both operands contiguous in k: vectors run along k, a few rows times a few columns at once
    stream   the right operand contiguous in n, one row: rows of it are added up, several at a time
"""

from __future__ import annotations

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Index,
    Let,
    Load,
    Local,
    Statement,
    Store,
    constant,
    extent_expr,
    index,
)
from compiler.lower.contraction_problem import (
    Contraction,
    KernelStep,
    ceiling,
    loop,
    smaller,
    unflatten,
)
from symgraph.dimension import Extent, product
from symgraph.types import int64

TASK, ROW, COLUMN, ROW_IN_TILE, COLUMN_IN_TILE, LANE, BLOCK, START, DEPTH = (
    Index(name)
    for name in ("c.task", "c.m0", "c.n0", "c.row", "c.column", "c.lane", "c.k0", "c.n_start", "c.k")
)
SIDE, SIDE_OF_FEW = 5, 3  # rows and columns whose sums fit in 32 registers, and in 16
LINE = 8  # results of a single row or column that are summed together
DOT_TASK = 1 << 18  # multiplications that are worth a task
STREAM_COLUMNS = 2048  # contiguous elements of a row of the right operand that one task reads
STREAM_ROWS = 8  # rows of the right operand that are read side by side


def dots(problem: Contraction, row_by_row: bool = False) -> tuple[KernelStep, ...]:
    """Results as dot products. Both operands are read along k.

    `row_by_row`: a few columns of the right operand wait in the first cache while the rows pass one by one.
    """
    return Dots(problem, row_by_row).steps()


def stream(problem: Contraction) -> tuple[KernelStep, ...]:
    """One row of results a batch: C[n] += left[k] * right[k, n], with C in the first cache."""
    columns = STREAM_COLUMNS
    column_tasks = ceiling(problem.n, columns)
    first, batch_at = Local("c.n_start", int64), Local("c.batch", int64)
    stop, batch = Local("c.n_stop", int64), unflatten(batch_at, problem.batch)
    sums = Buffer("c.sums", problem.dtype, (columns,))
    whole = Local("c.k_whole", int64)
    at = (Index("c.n") - first,)
    result = Local("c.value", problem.dtype)

    def rows(count: int) -> tuple[Statement, ...]:
        """sums += `count` rows of the right operand, times their elements of the left one."""
        lefts = [Local(f"c.a{row}", problem.dtype) for row in range(count)]
        total: Expr = Load(sums, at)
        for row, factor in enumerate(lefts):
            total = problem.multiply_add(factor, problem.right(batch, DEPTH + row, Index("c.n")), total)
        lets = (Let(a.name, problem.left(batch, index(0), DEPTH + row)) for row, a in enumerate(lefts))
        return (*lets, along(Store(sums, at, total)))

    def along(*body: Statement) -> For:
        return loop(Index("c.n"), stop, *body, start=first, mode="vector")

    epilogue = problem.epilogue(batch, index(0), Index("c.n"), result)
    body = (
        Let(first.name, TASK % column_tasks * columns),
        Let(batch_at.name, TASK // column_tasks),
        Let(stop.name, smaller(first + columns, problem.n)),
        Let(whole.name, index(problem.k) // STREAM_ROWS * STREAM_ROWS),
        Alloc(sums),
        along(Store(sums, at, constant(0, problem.dtype))),
        loop(DEPTH, whole, *rows(STREAM_ROWS), step=STREAM_ROWS),
        loop(DEPTH, problem.k, *rows(1), start=whole),
        along(Let(result.name, Load(sums, at)), *epilogue),
    )
    tasks = extent_expr(product(problem.batch)) * column_tasks
    return (problem.kernel("", (loop(TASK, tasks, *body, mode="parallel"),), ()),)


class Dots:
    """Builds the kernel of dot products. A task owns some columns and all rows."""

    def __init__(self, problem: Contraction, row_by_row: bool) -> None:
        self.problem = problem
        side = SIDE if problem.target.vector_registers == 32 else SIDE_OF_FEW
        line = row_by_row or problem.m == 1
        self.rows = 1 if row_by_row else part(problem.m, side if problem.n != 1 else LINE)
        self.columns = part(problem.n, LINE if line else side)
        self.width = problem.target.lanes(problem.dtype)
        self.batch = unflatten(Local("c.batch", int64), problem.batch)
        self.held = Buffer("c.held", problem.dtype, (self.rows, self.columns, self.width))
        self.sums = Buffer("c.sums", problem.dtype, (self.rows, self.columns))

    def steps(self) -> tuple[KernelStep, ...]:
        problem = self.problem
        wide = self._task_columns()
        column_tasks = ceiling(problem.n, wide)
        # With one column, or few, the rows are what there is to share out.
        tall = 64 * self.rows if not isinstance(problem.m, int) or problem.m > 64 * self.rows else 0
        row_tasks = ceiling(problem.m, tall) if tall else index(1)
        row_start, row_stop = (TASK // column_tasks % row_tasks * tall, Local("c.m_stop", int64))
        start, stop = Local("c.n_start", int64), Local("c.n_stop", int64)
        tile = loop(ROW, row_stop, *self._tile(), start=row_start, step=self.rows)
        body = (
            Let(start.name, TASK % column_tasks * wide),
            Let(stop.name, smaller(start + wide, problem.n)),
            Let(row_stop.name, smaller(row_start + tall, problem.m) if tall else index(problem.m)),
            Let("c.batch", TASK // column_tasks // row_tasks),
            loop(COLUMN, stop, tile, start=start, step=self.columns),
        )
        tasks = extent_expr(product(problem.batch)) * row_tasks * column_tasks
        return (problem.kernel("", (loop(TASK, tasks, *body, mode="parallel"),), ()),)

    def _task_columns(self) -> int:
        m, k = (extent if isinstance(extent, int) else 256 for extent in (self.problem.m, self.problem.k))
        return -(-max(1, DOT_TASK // max(1, m * k)) // self.columns) * self.columns

    def _tile(self) -> tuple[Statement, ...]:
        """rows x columns results: partial sums by lane over all of k, then across the lanes."""
        place = (ROW_IN_TILE, COLUMN_IN_TILE)
        zero = constant(0, self.problem.dtype)
        whole = index(self.problem.k) // self.width * self.width
        rest = self._lanes(If(index(self.problem.k) > BLOCK + LANE, self._products()))
        even = isinstance(self.problem.k, int) and self.problem.k % self.width == 0
        last = () if even else (loop(BLOCK, self.problem.k, rest, start=whole, step=self.width),)
        result = Local("c.value", self.problem.dtype)
        m, n = ROW + ROW_IN_TILE, COLUMN + COLUMN_IN_TILE
        inside = (Let(result.name, Load(self.sums, place)), *self.problem.epilogue(self.batch, m, n, result))
        in_row = If(index(self.problem.n) > n, inside)
        across = loop(COLUMN_IN_TILE, self.columns, in_row, mode="vector")
        total = Accumulate(self.sums, place, Load(self.held, (*place, LANE)))
        return (
            Alloc(self.held),
            Alloc(self.sums),
            self._each(self._lanes(Store(self.held, (*place, LANE), zero))),
            loop(BLOCK, whole, self._lanes(*self._products()), step=self.width),
            *last,
            self._each(Store(self.sums, place, zero), self._lanes(total)),
            loop(ROW_IN_TILE, smaller(index(self.problem.m) - ROW, self.rows), across),
        )

    def _products(self) -> tuple[Statement, ...]:
        """held[r, c] += left[r] * right[c], on the lanes of one step along k."""
        problem, k = self.problem, BLOCK + LANE
        body: list[Statement] = []
        rights = [Local(f"c.b{c}", problem.dtype) for c in range(self.columns)]
        for c, right in enumerate(rights):
            column = clamped(COLUMN, c, problem.n, self.columns)
            body.append(Let(right.name, problem.right(self.batch, k, column)))
        for r in range(self.rows):
            left = Local(f"c.a{r}", problem.dtype)
            body.append(Let(left.name, problem.left(self.batch, clamped(ROW, r, problem.m, self.rows), k)))
            for c, right in enumerate(rights):
                place = (Const(r, int64), Const(c, int64), LANE)
                total = problem.multiply_add(left, right, Load(self.held, place))
                body.append(Store(self.held, place, total))
        return tuple(body)

    def _lanes(self, *body: Statement) -> For:
        return loop(LANE, self.width, *body, mode="vector")

    def _each(self, *body: Statement) -> For:
        columns = loop(COLUMN_IN_TILE, self.columns, *body, mode="unroll")
        return loop(ROW_IN_TILE, self.rows, columns, mode="unroll")


def clamped(first: Expr, offset: int, extent: Extent, unit: int) -> Expr:
    """first + offset, or the last index where that lies outside."""
    place = first + offset
    return place if isinstance(extent, int) and extent % unit == 0 else smaller(place, extent - 1)


def part(extent: Extent, most: int) -> int:
    """Rows or columns of a tile: what covers a known extent with the least work beyond it."""
    if not isinstance(extent, int):
        return 4 if most == SIDE else most
    sizes = range(max(1, min(extent, most)), max(0, min(extent, most) - 3), -1)
    return min(sizes, key=lambda size: (-(-extent // size) * (size + 1), -size))
