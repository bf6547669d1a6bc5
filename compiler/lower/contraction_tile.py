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
    constant,
    extent_expr,
    index,
)
from compiler.loop.walk import postorder
from compiler.lower.contraction_blocks import Blocks, size, tail_columns
from compiler.lower.contraction_problem import (
    Contraction,
    KernelStep,
    ceiling,
    is_plain,
    loop,
    smaller,
    unflatten,
)
from symgraph.dimension import Extent, Shape, product
from symgraph.types import int64

LARGE = 64 * 1024  # bytes of a right operand whose packed copy tasks share; a smaller one each packs itself
DEEP = 256  # steps of k, and columns, from which strided reads of the left operand cost more than a copy

# Names of this module start with c_, so that they do not meet those of operands and epilogues.
TASK, ROW, ROW_IN_TILE, PANEL, LANE, BLOCK, DEPTH, RUN, OFFSET = (
    Index(name)
    for name in ("c_task", "c_m0", "c_row", "c_n0", "c_lane", "c_k0", "c_k", "c_run", "c_offset")
)
ROW_START, ROW_STOP, COLUMN_START, COLUMN_STOP, BATCH = (
    Local(name, int64) for name in ("c_m_start", "c_m_stop", "c_n_start", "c_n_stop", "c_batch")
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
        right = problem.right(self.batch, DEPTH, PANEL)
        several = not isinstance(problem.m, int) or problem.m > blocks.task_rows
        large = size(problem.k) * size(problem.n) * problem.dtype.itemsize > LARGE
        shared = blocks.pack_right and several and large
        self.prepack = shared or problem.right_unit != "n" or not is_plain(right)
        self.right_batch: Shape = problem.batch if _mentions(right, BATCH.name) else ()
        dtype = problem.dtype
        panels = product((*self.right_batch, problem.k, self._padded_n()))
        self.packed = Buffer("c_packed", dtype, (panels,))
        self.panel = Buffer("c_panel", dtype, (self.depth, blocks.columns))
        block = (blocks.task_rows, self.depth + blocks.lanes)  # the lanes keep rows off the same cache sets
        self.left_block = Buffer("c_left", dtype, block[::-1] if self.left_along_m else block)
        self.partial = Buffer("c_partial", dtype, (blocks.task_rows, blocks.task_columns))

    def steps(self) -> tuple[KernelStep, ...]:
        main = self.problem.kernel("", (self._main(),), (self.packed,))
        if not self.prepack:
            return (main,)
        return (self.problem.kernel("_pack", (self._prepack(),), (self.packed,)), main)

    def _padded_n(self) -> Extent:
        """Columns of all panels: exact for an int, else an upper bound."""
        n, columns = self.problem.n, self.blocks.columns
        return -(-n // columns) * columns if isinstance(n, int) else n + (columns - 1)

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
        n, columns = self.problem.n, self.blocks.columns
        pack = (self._pack_left(),) if self.pack_left else ()
        if isinstance(n, int) and n % columns == 0:
            whole = self._panel(columns, False)
            return (*pack, loop(PANEL, COLUMN_STOP, *whole, start=COLUMN_START, step=columns))
        full = COLUMN_START + (COLUMN_STOP - COLUMN_START) // columns * columns
        edge = self._panel(tail_columns(n, self.blocks), True)
        last = loop(PANEL, COLUMN_STOP, *edge, start=full, step=columns)
        if isinstance(n, int) and n < columns:
            return (*pack, last)
        whole = self._panel(columns, False)
        return (*pack, loop(PANEL, full, *whole, start=COLUMN_START, step=columns), last)

    def _panel(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        pack = (self._pack_panel(columns, masked),) if self._packs_in_task else ()
        tiles = loop(ROW, ROW_STOP, *self._tile(columns, masked), start=ROW_START, step=self.blocks.rows)
        return (*pack, tiles)

    # one tile

    def _tile(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        """Results rows x columns from one block of k, held in registers."""
        held = Buffer("c_held", self.problem.dtype, (self.blocks.rows, columns))
        zero = constant(0, self.problem.dtype)
        place = (ROW_IN_TILE, LANE)
        body: list[Statement] = [Alloc(held), self._each(columns, Store(held, place, zero))]
        if self.blocks.depth is None:
            tile = Buffer("c_tile", self.problem.dtype, held.shape)
            body += [self._multiply(held, columns, masked), Alloc(tile)]
            body.append(self._each(columns, Store(tile, place, Load(held, place))))
            return (*body, self._results(columns, masked, Load(tile, place)))
        part = (ROW - ROW_START + ROW_IN_TILE, PANEL - COLUMN_START + LANE)
        resume = self._each(columns, Store(held, place, Load(self.partial, part)))
        body += [If(BLOCK > 0, (resume,)), self._multiply(held, columns, masked)]
        body.append(self._each(columns, Store(self.partial, part, Load(held, place))))
        done = BLOCK + self.depth >= index(self.problem.k)
        return (*body, If(done, (self._results(columns, masked, Load(self.partial, part)),)))

    def _each(self, columns: int, statement: Statement) -> For:
        across = loop(LANE, columns, statement, mode="vector")
        return loop(ROW_IN_TILE, self.blocks.rows, across, mode="unroll")

    def _multiply(self, held: Buffer, columns: int, masked: bool) -> For:
        """held[row, lane] += left[row, k] * right[k, lane] for k in the block."""
        problem = self.problem
        across = Buffer("c_right", problem.dtype, (columns,))
        read = Store(across, (LANE,), self._right())
        edge = masked and not (self._packs_in_task or self.prepack)
        row = Local("c_a", problem.dtype)
        total = problem.multiply_add(row, Load(across, (LANE,)), Load(held, (ROW_IN_TILE, LANE)))
        update = loop(LANE, columns, Store(held, (ROW_IN_TILE, LANE), total), mode="vector")
        rows = loop(ROW_IN_TILE, self.blocks.rows, Let(row.name, self._left()), update, mode="unroll")
        inside = loop(LANE, columns, self._inside(read) if edge else read, mode="vector")
        return loop(DEPTH, self._depth_stop, Alloc(across), inside, rows, start=self.block)

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
            return Load(self.packed, (self._packed_place(BATCH, PANEL, DEPTH, LANE),))
        if self.blocks.pack_right:
            return Load(self.panel, (DEPTH - self.block, LANE))
        return self.problem.right(self.batch, DEPTH, PANEL + LANE)

    def _inside(self, *body: Statement) -> If:
        """Masks the lanes beyond the last column."""
        return If(index(self.problem.n) > PANEL + LANE, body)

    def _results(self, columns: int, masked: bool, value: Expr) -> For:
        """The epilogue on the rows of the tile that exist."""
        result = Local("c_value", self.problem.dtype)
        body = self.problem.epilogue(self.batch, ROW + ROW_IN_TILE, PANEL + LANE, result)
        inside: tuple[Statement, ...] = (Let(result.name, value), *body)
        across = loop(LANE, columns, *((self._inside(*inside),) if masked else inside), mode="vector")
        m, rows = self.problem.m, self.blocks.rows
        whole = isinstance(m, int) and m % rows == 0
        return loop(ROW_IN_TILE, rows if whole else smaller(index(m) - ROW, rows), across)

    # packing

    def _pack_left(self) -> For:
        """The task's block of the left operand, copied along its contiguous index."""
        problem = self.problem
        rows, depths = (ROW, ROW_START, ROW_STOP), (DEPTH, self.block, self._depth_stop)
        (along, start, stop), (other, first, last) = (rows, depths) if self.left_along_m else (depths, rows)
        if problem.left_runs is None:
            copy = Store(self.left_block, self._left_place(ROW, DEPTH), problem.left(self.batch, ROW, DEPTH))
            inside = loop(along, stop, copy, start=start, mode="vector")
        else:
            inside = self._pack_runs(other, start, stop)
        return loop(other, last, inside, start=first)

    def _pack_runs(self, other: Index, start: Expr, stop: Expr) -> For:
        """The same where the contiguous index comes in runs: no vector crosses from one run to the next."""
        assert self.problem.left_runs is not None, "only called for operands in runs"
        length, read = self.problem.left_runs
        place = RUN * length + OFFSET
        at = self._left_place(place, other) if self.left_along_m else self._left_place(other, place)
        copy = Store(self.left_block, at, read(self.batch, other, RUN, OFFSET))
        masked = If(place >= start, (If(index(stop) > place, (copy,)),))
        last = binary("div", stop + (length - 1), length)
        return loop(RUN, last, loop(OFFSET, length, masked, mode="vector"), start=start // length)

    def _left_place(self, row: Expr, k: Expr) -> tuple[Expr, Expr]:
        row, k = row - ROW_START, k - self.block
        return (k, row) if self.left_along_m else (row, k)

    def _pack_panel(self, columns: int, masked: bool) -> For:
        """A block of k of the panel, copied to where it lies together."""
        value = self.problem.right(self.batch, DEPTH, PANEL + LANE)
        copy = Store(self.panel, (DEPTH - self.block, LANE), value)
        across = loop(LANE, columns, self._inside(copy) if masked else copy, mode="vector")
        return loop(DEPTH, self._depth_stop, across, start=self.block)

    def _packed_place(self, batch: Expr, panel: Expr, k: Expr, lane: Expr) -> Expr:
        """Where right(k, panel + lane) lies: [batch, panel, k, lane], one after another."""
        first = panel
        if self.right_batch:
            first = batch * extent_expr(self._padded_n()) + panel
        return first * extent_expr(self.problem.k) + k * self.blocks.columns + lane

    def _prepack(self) -> For:
        """All panels of the right operand, each by a task of its own."""
        problem, columns = self.problem, self.blocks.columns
        panels = ceiling(problem.n, columns)
        panel = Local("c_panel_start", int64)
        if problem.right_unit == "k":
            copy = self._turned_panel(panel)
        else:
            whole = isinstance(problem.n, int) and problem.n % columns == 0
            stop = columns if whole else smaller(index(problem.n) - panel, columns)
            across = loop(LANE, stop, self._packed_store(panel, DEPTH, LANE), mode="vector")
            copy = (loop(DEPTH, problem.k, across),)
        tasks = extent_expr(product(self.right_batch)) * panels
        return loop(
            TASK, tasks, Let(BATCH.name, TASK // panels), Let(panel.name, TASK % panels * columns), *copy,
            mode="parallel",
        )

    def _packed_store(self, panel: Expr, k: Expr, lane: Expr) -> Store:
        column, n = panel + lane, self.problem.n
        if self.problem.right_unit == "k" and not (isinstance(n, int) and n % self.blocks.columns == 0):
            column = smaller(column, n - 1)
        place = (self._packed_place(BATCH, panel, k, lane),)
        return Store(self.packed, place, self.problem.right(self.batch, k, column))

    def _turned_panel(self, panel: Expr) -> tuple[Statement, ...]:
        """A panel whose source is contiguous in k: square blocks turned in registers, then the rest of k.

        Columns beyond the last repeat it: their results are not stored.
        """
        side = min(self.blocks.lanes, self.blocks.columns)
        whole = index(self.problem.k) // side * side
        turn = loop(LANE, side, self._packed_store(panel, BLOCK + DEPTH, PANEL + LANE), mode="unroll")
        block = loop(DEPTH, side, turn, mode="vector")
        blocks = loop(PANEL, self.blocks.columns, block, step=side)
        rest = loop(LANE, self.blocks.columns, self._packed_store(panel, DEPTH, LANE))
        return (
            loop(BLOCK, whole, blocks, step=side),
            loop(DEPTH, self.problem.k, rest, start=whole),
        )


def packs_left(problem: Contraction) -> bool:
    """Whether the left operand is copied for each task: it costs more than a load, or is far apart in k."""
    batch = unflatten(BATCH, problem.batch)
    apart = problem.left_unit != "k" and size(problem.k) > DEEP and size(problem.n) > DEEP
    return apart or problem.left_runs is not None or not is_plain(problem.left(batch, ROW, DEPTH))


def _mentions(expr: Expr, name: str) -> bool:
    return any(isinstance(part, (Index, Local)) and part.name == name for part in postorder([expr]))
