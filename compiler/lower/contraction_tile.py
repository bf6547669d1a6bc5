"""Contractions by register tiles: panels of the right operand packed, everything else read in place."""

from __future__ import annotations

from compiler.loop.grammar import (
    Alloc,
    Buffer,
    Expr,
    For,
    If,
    Index,
    Let,
    Load,
    Local,
    Statement,
    Store,
    binary,
    extent_expr,
    index,
)
from compiler.lower.contraction_blocks import Blocks, size
from compiler.lower.contraction_panels import BLOCK, COLUMN, DEPTH, TASK, Panels, over_panels
from compiler.lower.contraction_problem import (
    Contraction,
    KernelStep,
    ceiling,
    is_plain,
    loop,
    smaller,
    unflatten,
)
from compiler.lower.contraction_registers import LANE, PLACE, ROW_IN_TILE, Registers, mentions
from symgraph.dimension import Shape, product
from symgraph.types import int64

LARGE = 64 * 1024  # bytes of a right operand whose packed copy tasks share; a smaller one each packs itself
DEEP = 256  # steps of k, and columns, from which strided reads of the left operand cost more than a copy

ROW = Index("c.m0")
ROW_START, ROW_STOP, COLUMN_START, COLUMN_STOP, BATCH = (
    Local(name, int64) for name in ("c.m_start", "c.m_stop", "c.n_start", "c.n_stop", "c.batch")
)


class Tiles:
    """Builds the kernels of one contraction."""

    def __init__(self, problem: Contraction, blocks: Blocks) -> None:
        self.problem, self.blocks = problem, blocks
        self.depth = blocks.depth or max(1, int(problem.k) if isinstance(problem.k, int) else 1)
        self.block: Expr = BLOCK if blocks.depth else index(0)
        self.batch = unflatten(BATCH, problem.batch)
        self.pack_left = packs_left(problem)
        self.left_along_m = problem.left_unit == "m"
        right = problem.right(self.batch, DEPTH, COLUMN)
        several = not isinstance(problem.m, int) or problem.m > blocks.task_rows
        large = size(problem.k) * size(problem.n) * problem.dtype.itemsize > LARGE
        shared = blocks.pack_right and several and large
        self.prepack = shared or problem.right_known or problem.right_unit != "n" or not is_plain(right)
        right_batch: Shape = problem.batch if mentions(right, BATCH.name) else ()
        self.panels = Panels(
            problem, right_batch, (), problem.k, problem.n, blocks.columns, problem.right_unit,
            lambda batch, _, k, n: problem.right(batch if right_batch else self.batch, k, n),
        )
        dtype = problem.dtype
        self.panel = Buffer("c.panel", dtype, (self.depth, blocks.columns))
        block = (blocks.task_rows, self.depth + blocks.lanes)  # the lanes keep rows off the same cache sets
        self.left_block = Buffer("c.left", dtype, block[::-1] if self.left_along_m else block)
        self.partial = Buffer("c.partial", dtype, (blocks.task_rows, blocks.task_columns))

    def steps(self) -> tuple[KernelStep, ...]:
        main = self.problem.kernel("", (self._main(),), (self.panels.buffer,))
        return self.panels.steps(main, self.problem.right_known) if self.prepack else (main,)

    # tasks

    def _main(self) -> For:
        problem, blocks = self.problem, self.blocks
        row_tasks = ceiling(problem.m, blocks.task_rows)
        column_tasks = ceiling(problem.n, blocks.task_columns)
        batches = extent_expr(product(problem.batch))
        body: list[Statement] = [
            Let(COLUMN_START.name, TASK % column_tasks * blocks.task_columns),
            Let(ROW_START.name, TASK // column_tasks % row_tasks * blocks.task_rows),
            Let(BATCH.name, TASK // column_tasks // row_tasks),
            Let(ROW_STOP.name, smaller(ROW_START + blocks.task_rows, problem.m)),
            Let(COLUMN_STOP.name, smaller(COLUMN_START + blocks.task_columns, problem.n)),
        ]
        if self._packs_in_task:
            body.append(Alloc(self.panel))
        if self.pack_left:
            body.append(Alloc(self.left_block))
        if blocks.depth is None:
            body += self._block()
        else:
            body.append(Alloc(self.partial))
            at_least_once = binary("maximum", index(problem.k), 1)
            body.append(loop(BLOCK, at_least_once, *self._block(), step=blocks.depth))
        return loop(TASK, batches * row_tasks * column_tasks, *body, mode="parallel")

    @property
    def _packs_in_task(self) -> bool:
        return self.blocks.pack_right and not self.prepack

    @property
    def _depth_stop(self) -> Expr:
        return smaller(BLOCK + self.depth, self.problem.k) if self.blocks.depth else index(self.problem.k)

    def _block(self) -> tuple[Statement, ...]:
        """All results of the task over one block of k: panels of full width, then the last one."""
        blocks = self.blocks
        pack = (self._pack_left(),) if self.pack_left else ()
        n, columns, lanes = self.problem.n, blocks.columns, blocks.lanes
        return (*pack, *over_panels(n, columns, lanes, COLUMN_START, COLUMN_STOP, self._panel))

    def _panel(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        pack = (self._pack_panel(columns, masked),) if self._packs_in_task else ()
        tiles = loop(ROW, ROW_STOP, *self._tile(columns, masked), start=ROW_START, step=self.blocks.rows)
        return (*pack, tiles)

    # one tile

    def _tile(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        """Results rows x columns from one block of k, held in registers."""
        tile = Registers(self.problem, self.blocks.rows, columns)
        body: list[Statement] = [*tile.zeros()]
        if self.blocks.depth is None:
            results = Buffer("c.tile", self.problem.dtype, (tile.rows, columns))
            body += [self._multiply(tile, masked), Alloc(results), tile.spill(results)]
            return (*body, self._results(columns, masked, Load(results, PLACE)))
        part = (ROW - ROW_START + ROW_IN_TILE, COLUMN - COLUMN_START + LANE)
        body += [If(BLOCK > 0, (tile.resume(self.partial, part),)), self._multiply(tile, masked)]
        body.append(tile.spill(self.partial, part))
        done = BLOCK + self.depth >= index(self.problem.k)
        return (*body, If(done, (self._results(columns, masked, Load(self.partial, part)),)))

    def _multiply(self, tile: Registers, masked: bool) -> For:
        """held[row, lane] += left[row, k] * right[k, lane] for k in the block."""
        edge = masked and not (self._packs_in_task or self.prepack)
        step = tile.step(self._left(), self._right(), self._inside if edge else None)
        return loop(DEPTH, self._depth_stop, *step, start=self.block)

    def _left(self) -> Expr:
        """left at the tile's row; rows beyond the last read the last one, and are not stored."""
        row = ROW + ROW_IN_TILE
        if self.pack_left:
            return Load(self.left_block, self._left_place(row, DEPTH))
        m = self.problem.m
        if not (isinstance(m, int) and m % self.blocks.rows == 0):
            row = smaller(row, m - 1)
        return self.problem.left(self.batch, row, DEPTH)

    def _right(self) -> Expr:
        if self.prepack:
            return Load(self.panels.buffer, (self.panels.place(BATCH, COLUMN, DEPTH, LANE),))
        if self.blocks.pack_right:
            return Load(self.panel, (DEPTH - self.block, LANE))
        return self.problem.right(self.batch, DEPTH, COLUMN + LANE)

    @property
    def _inside(self) -> Expr:
        """Holds for the lanes up to the last column."""
        return index(self.problem.n) > COLUMN + LANE

    def _results(self, columns: int, masked: bool, value: Expr) -> For:
        """The epilogue on the rows of the tile that exist."""
        result = Local("c.value", self.problem.dtype)
        body = self.problem.epilogue(self.batch, ROW + ROW_IN_TILE, COLUMN + LANE, result)
        inside: tuple[Statement, ...] = (Let(result.name, value), *body)
        across = loop(LANE, columns, *((If(self._inside, inside),) if masked else inside), mode="vector")
        m, rows = self.problem.m, self.blocks.rows
        whole = isinstance(m, int) and m % rows == 0
        return loop(ROW_IN_TILE, rows if whole else smaller(index(m) - ROW, rows), across)

    # packing

    def _pack_left(self) -> For:
        """The task's block of the left operand, copied along its contiguous index."""
        problem = self.problem
        rows, depths = (ROW, ROW_START, ROW_STOP), (DEPTH, self.block, self._depth_stop)
        (along, start, stop), (other, first, last) = (rows, depths) if self.left_along_m else (depths, rows)
        copy = Store(self.left_block, self._left_place(ROW, DEPTH), problem.left(self.batch, ROW, DEPTH))
        return loop(other, last, loop(along, stop, copy, start=start, mode="vector"), start=first)

    def _left_place(self, row: Expr, k: Expr) -> tuple[Expr, Expr]:
        row, k = row - ROW_START, k - self.block
        return (k, row) if self.left_along_m else (row, k)

    def _pack_panel(self, columns: int, masked: bool) -> For:
        """A block of k of the panel, copied to where it lies together."""
        value = self.problem.right(self.batch, DEPTH, COLUMN + LANE)
        copy = Store(self.panel, (DEPTH - self.block, LANE), value)
        across = loop(LANE, columns, If(self._inside, (copy,)) if masked else copy, mode="vector")
        return loop(DEPTH, self._depth_stop, across, start=self.block)


def packs_left(problem: Contraction) -> bool:
    """Whether the left operand is copied for each task: it costs more than a load, or is far apart in k."""
    batch = unflatten(BATCH, problem.batch)
    apart = problem.left_unit != "k" and size(problem.k) > DEEP and size(problem.n) > DEEP
    return apart or not is_plain(problem.left(batch, ROW, DEPTH))
