"""Gradients of a convolution's weights as kernels: tiles of neighbouring taps and channels in, times out.

A task sums over a share of the images, block of outputs after block, on the input copied with its padding.
The shares do not depend on the number of threads, and a second kernel adds them in order: the result is the
same to the bit however many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from compiler.loop.grammar import (
    Alloc,
    Buffer,
    Expr,
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
from compiler.lower.contraction_panels import COLUMN, TASK, over_panels
from compiler.lower.contraction_problem import Indices, KernelStep, ceiling, loop, smaller, unflatten
from compiler.lower.contraction_registers import LANE, ROW_IN_TILE, Registers
from compiler.lower.weight_problem import WeightCut, WeightGradient, cut_weight
from compiler.lower.window_block import Block, local
from symgraph.dimension import product

ADDED = 16 * 1024  # results that one task adds up from the shares

SHARE, GROUP, IMAGE, AT, FIRST, CHANNEL, FROM, TO = (
    local(f"c.{name}")
    for name in ("share", "group", "image", "at", "first_column", "first_channel", "from", "to")
)
Panel = Callable[[int, bool], tuple[Statement, ...]]
UNIT, HIGH, WIDE, ROW = (Index(f"c.{name}") for name in ("unit", "high", "wide", "m0"))


def convolution_weight(problem: WeightGradient) -> tuple[KernelStep, ...]:
    """The kernels, in the order they run: the sums of all shares, then these added up, and the epilogue."""
    return Shares(problem, cut_weight(problem)).steps()


class Shares:
    """Builds the kernels of one weight gradient."""

    def __init__(self, problem: WeightGradient, sizes: WeightCut) -> None:
        self.problem, self.sizes = problem, sizes
        self.windows = problem.source.windows
        lengths = tuple(w.reach(n) for w, n in zip(self.windows, sizes.outputs, strict=True))
        self.block = Block(problem.source, problem.dtype, lengths, sizes.channels, sizes.beyond)
        self.copied = Buffer("c.copied", problem.dtype, (prod(sizes.outputs), sizes.columns))
        axes = range(len(self.windows))
        self.outs = [Index(f"c.o{axis}") for axis in axes]
        self.starts, self.stops = ([local(f"c.{name}{axis}") for axis in axes] for name in ("start", "stop"))
        self.rows = [*(Index(f"c.row{axis}") for axis in range(len(sizes.rows) - 2)), HIGH, WIDE]
        self.rows = self.rows[-len(sizes.rows) :]
        n, columns = problem.n, sizes.columns
        room = -(-n // columns) * columns if isinstance(n, int) else n + (columns - 1)
        shape = (sizes.shares, problem.groups, *(axis.room for axis in sizes.rows), room)
        self.sums = Buffer("c.shares", problem.dtype, shape)

    def steps(self) -> tuple[KernelStep, ...]:
        sums = self.problem.kernel("_shares", (self._sum_shares(),), (self.sums,))
        return (sums, self.problem.kernel("", (self._add_shares(),), (self.sums,)))

    # tasks

    def _sum_shares(self) -> Statement:
        problem, sizes = self.problem, self.sizes
        channels = index(1) if problem.separate else ceiling(problem.channels, sizes.channels)
        columns = ceiling(problem.n, sizes.task_columns)
        shape = (sizes.shares, problem.groups, channels, columns)
        total = columns * channels * (sizes.shares * problem.groups)
        share, group, channel, column = unflatten(TASK, shape)
        blocks = [
            ceiling(w.outputs, count) for w, count in zip(self.windows, sizes.outputs, strict=True)
        ]
        units = extent_expr(problem.images)
        for count in blocks:
            units = binary("mul", units, count)
        image, *numbers = unflatten(UNIT, (problem.images, *blocks))
        body: list[Statement] = [Let(IMAGE.name, image)]
        for axis, number in enumerate(numbers):
            count = sizes.outputs[axis]
            stop = smaller(self.starts[axis] + count, self.windows[axis].outputs)
            body += [Let(self.starts[axis].name, number * count), Let(self.stops[axis].name, stop)]
        body += [*self._fill(), *self._over_panels(self._panel)]
        copied = () if problem.in_place else (Alloc(self.copied),)
        return loop(
            TASK, total,
            Let(SHARE.name, share),
            Let(GROUP.name, group),
            Let(CHANNEL.name, channel * sizes.channels),
            Let(FIRST.name, column * sizes.task_columns),
            Let(FROM.name, units * SHARE // sizes.shares),
            Let(TO.name, units * (SHARE + 1) // sizes.shares),
            self.block.alloc(), *copied,
            *self._over_panels(self._clear),
            loop(UNIT, TO, *body, start=FROM),
            mode="parallel",
        )

    def _over_panels(self, body: Panel) -> tuple[Statement, ...]:
        sizes = self.sizes
        stop = smaller(FIRST + sizes.task_columns, self.problem.n)
        return over_panels(self.problem.n, sizes.columns, self.problem.lanes, FIRST, stop, body)

    def _fill(self) -> tuple[Statement, ...]:
        """The block of the input that the unit's outputs read."""
        problem, step = self.problem, self.sizes.channels
        origins = [
            binary("add", window.origin(index(0)), start * window.stride)
            for window, start in zip(self.windows, self.starts, strict=True)
        ]
        if problem.separate:
            whole = problem.channels_in
            first = binary("div", FIRST, problem.separate)
            return self.block.fill(IMAGE, origins, first, smaller(index(whole) - first, step), whole)
        first = binary("add", GROUP * extent_expr(problem.channels), CHANNEL)
        count = smaller(index(problem.channels) - CHANNEL, step)
        return self.block.fill(IMAGE, origins, first, count, problem.channels)

    # tiles

    def _clear(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        """The task's sums of a panel set to zero."""
        zero = Store(self.sums, self._sum_at(index(0), index(0)), constant(0, self.problem.dtype))
        return self._over_rows((loop(LANE, columns, zero, mode="vector"),), tiles=False)

    def _over_rows(self, body: tuple[Statement, ...], tiles: bool) -> tuple[Statement, ...]:
        """Loops over the task's rows, or over its tiles."""
        sizes, last = self.sizes, len(self.rows) - 1
        steps = [1] * (last - 1) + [sizes.high, sizes.wide][-last - 1 :]
        for axis in reversed(range(len(self.rows))):
            row, step = sizes.rows[axis], steps[axis]
            start, stop = index(0), index(row.count)
            if axis == last and not (sizes.run or self.problem.separate):
                start, stop = CHANNEL, smaller(CHANNEL + sizes.channels, row.count)
            if not tiles and step > 1:
                stop, step = start + binary("mul", ceiling(stop - start, step), step), 1
            body = (loop(self.rows[axis], stop, *body, start=start, step=step),)
        return body

    def _panel(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        """All tiles of a panel, each on all outputs of the block."""
        tile = Registers(self.problem, self.sizes.tile_rows, columns)
        place = self._sum_at(*self._within_tile(ROW_IN_TILE))
        inside = self._inside if masked and self.problem.in_place else None
        body: tuple[Statement, ...] = tile.step(self._left(), self._right(), inside)
        for axis in reversed(range(len(self.outs))):
            body = (loop(self.outs[axis], self.stops[axis], *body, start=self.starts[axis]),)
        begin = (*tile.zeros(), tile.resume(self.sums, place), Let(AT.name, self._first_place()))
        tiles = self._over_rows((*begin, *body, tile.spill(self.sums, place)), tiles=True)
        return tiles if self.problem.in_place else (*self._copy_gradient(columns, masked), *tiles)

    def _within_tile(self, row: Expr) -> tuple[Expr, Expr]:
        if len(self.rows) == 1:
            return index(0), row
        return row // self.sizes.wide, row % self.sizes.wide

    def _sum_at(self, high: Expr, wide: Expr) -> tuple[Expr, ...]:
        """Where the sum lies that is so many rows from the tile's first."""
        offsets = [*([index(0)] * len(self.rows)), high, wide][-len(self.rows) :]
        rows = (binary("add", row, offset) for row, offset in zip(self.rows, offsets, strict=True))
        return (SHARE, GROUP, *rows, COLUMN + LANE)

    def _first_place(self) -> Expr:
        """Where in the block the tile's first row meets the block's first output."""
        place: Expr = index(0)
        for row, axis in zip(self.rows, self.sizes.rows, strict=True):
            place = binary("add", place, row * axis.pitch)
        cut = not (self.sizes.run or self.problem.separate)
        return binary("sub", place, CHANNEL) if cut else place

    def _left(self) -> Expr:
        """The input that the row meets at the output."""
        place: Expr = AT
        for axis, (window, pitch) in enumerate(zip(self.windows, self.block.pitches, strict=True)):
            place = binary("add", place, (self.outs[axis] - self.starts[axis]) * (window.stride * pitch))
        offsets = self._within_tile(ROW_IN_TILE)[-len(self.rows) :]
        for offset, axis in zip(offsets, self.sizes.rows[-2:], strict=True):
            place = binary("add", place, offset * axis.pitch)
        if self.problem.separate:
            own = binary("div", COLUMN + LANE, self.problem.separate)
            place = place + (own - binary("div", FIRST, self.problem.separate))
        return Load(self.block.buffer, (place,))

    def _right(self) -> Expr:
        if not self.problem.in_place:
            return Load(self.copied, (self._output_number(), LANE))
        return self._gradient(COLUMN + LANE)

    def _gradient(self, column: Expr) -> Expr:
        channel = binary("add", GROUP * extent_expr(self.problem.n), column)
        return self.problem.gradient((IMAGE, *self.outs), channel)

    def _output_number(self) -> Expr:
        number: Expr = index(0)
        for out, start, count in zip(self.outs, self.starts, self.sizes.outputs, strict=True):
            number = binary("add", number * count, out - start)
        return number

    def _copy_gradient(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        """The panel's part of the gradient at the block's outputs, laid out row after row."""
        copy: Statement = Store(self.copied, (self._output_number(), LANE), self._gradient(COLUMN + LANE))
        if masked:
            copy = If(self._inside, (copy,))
        body: tuple[Statement, ...] = (loop(LANE, columns, copy, mode="vector"),)
        for axis in reversed(range(len(self.outs))):
            body = (loop(self.outs[axis], self.stops[axis], *body, start=self.starts[axis]),)
        return body

    @property
    def _inside(self) -> Expr:
        return index(self.problem.n) > COLUMN + LANE

    # the sum of all shares

    def _add_shares(self) -> Statement:
        """Each result, added up from the shares in order, and what follows from it."""
        problem = self.problem
        channels = 1 if problem.separate else problem.channels
        shape = (*(w.size for w in self.windows), channels)
        rows = product(shape)
        n = problem.n
        each = max(1, ADDED // (n * problem.groups)) if isinstance(n, int) and n else 1
        *taps, channel = unflatten(ROW, shape)
        result = Local("c.value", problem.dtype)
        place = self._summed_row(tuple(taps), channel)
        value: Expr = Load(self.sums, (index(0), GROUP, *place, LANE))
        for share in range(1, self.sizes.shares):
            value = value + Load(self.sums, (index(share), GROUP, *place, LANE))
        column = binary("add", GROUP * extent_expr(n), LANE)
        body = (Let(result.name, value), *problem.epilogue(tuple(taps), channel, column, result))
        across = loop(LANE, n, *body, mode="vector")
        groups = loop(Index("c.each_group"), problem.groups, Let(GROUP.name, Index("c.each_group")), across)
        stop = smaller((TASK + 1) * each, rows)
        return loop(TASK, ceiling(rows, each), loop(ROW, stop, groups, start=TASK * each), mode="parallel")

    def _summed_row(self, taps: Indices, channel: Expr) -> Indices:
        if self.problem.separate:
            return taps
        if self.sizes.run:
            return (*taps[:-1], binary("add", taps[-1] * extent_expr(self.problem.channels), channel))
        return (*taps, channel)
