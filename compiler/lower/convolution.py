"""Convolutions as kernels: tiles of neighbouring outputs times channels over a copied block of the input.

A task copies the input that its outputs read, padding included, to memory of its own in the cache. So the
border costs a copy and no test in the inner loop, and every element lies at a constant distance from the
next tap's and the next output's. Where zeros stand between elements, as in the gradient of a strided
convolution, each phase of the outputs sums over the taps that meet elements (compiler/lower/window.py).
"""

from __future__ import annotations

from collections.abc import Sequence

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
    binary,
    extent_expr,
    index,
)
from compiler.lower.contraction_panels import BLOCK, COLUMN, DEPTH, TASK, Panels, over_panels
from compiler.lower.contraction_problem import KernelStep, ceiling, loop, smaller, unflatten
from compiler.lower.contraction_registers import LANE, ROW_IN_TILE, Registers
from compiler.lower.convolution_problem import Convolution, Cut, cut, packs_weights
from compiler.lower.window_block import Block, local
from symgraph.dimension import product

IMAGE, GROUP, AT, WEIGHT, FIRST = (
    local(f"c.{name}") for name in ("image", "group", "at", "weight", "first_column")
)
HIGH, WIDE = Index("c.high"), Index("c.wide")


def convolution(problem: Convolution) -> tuple[KernelStep, ...]:
    """The kernels of a convolution, in the order they run. Correct at every extent, zero included."""
    return Forward(problem, cut(problem)).steps()


class Forward:
    """Builds the kernels of one convolution."""

    def __init__(self, problem: Convolution, sizes: Cut) -> None:
        self.problem, self.sizes = problem, sizes
        self.windows = problem.windows
        self.lengths = tuple(w.reach(n) for w, n in zip(self.windows, sizes.outputs, strict=True))
        self.block = Block(problem.source, problem.dtype, self.lengths, sizes.channels)
        self.cuts_channels = not problem.separate and sizes.channels != problem.channels
        axes = range(len(self.windows))
        self.outs = [Index(f"c.o{axis}") for axis in axes]
        self.taps = [Index(f"c.tap{axis}") for axis in axes]
        self.phases, self.starts, self.stops, self.origins = (
            [local(f"c.{name}{axis}") for axis in axes] for name in ("phase", "start", "stop", "origin")
        )
        groups = (problem.groups,) if problem.groups > 1 else ()
        self.panels = Panels(
            problem, groups, tuple(w.size for w in self.windows), problem.channels, problem.n,
            sizes.columns, problem.right_unit,
            lambda group, taps, c, n: problem.right(taps, c, self._channel(group[0], n) if group else n),
        )
        self.packs = packs_weights(problem)
        pixels = product(sizes.outputs)
        self.partial = Buffer("c.partial", problem.dtype, (pixels, sizes.task_columns))

    def steps(self) -> tuple[KernelStep, ...]:
        main = self.problem.kernel("", (self._main(),), (self.panels.buffer,))
        return self.panels.steps(main, self.problem.right_known) if self.packs else (main,)

    # tasks

    def _main(self) -> Statement:
        problem, sizes = self.problem, self.sizes
        columns = ceiling(problem.n, sizes.task_columns)
        blocks = [
            ceiling(w.most_outputs, count) for w, count in zip(self.windows, sizes.outputs, strict=True)
        ]
        shape = (problem.images, problem.groups, *(w.phases for w in self.windows), *blocks, columns)
        total = index(1)
        for extent in shape:
            total = binary("mul", total, index(extent))
        image, group, *places, column = unflatten(TASK, shape)
        phases, numbers = places[: len(self.windows)], places[len(self.windows) :]
        body: list[Statement] = [
            Let(IMAGE.name, image),
            Let(GROUP.name, group),
            Let(FIRST.name, column * sizes.task_columns),
        ]
        for axis, (phase, number) in enumerate(zip(phases, numbers, strict=True)):
            body += self._outputs_of_task(axis, phase, number)
        body += [self.block.alloc(), *self._blocks()]
        return loop(TASK, total, *body, mode="parallel")

    def _outputs_of_task(self, axis: int, phase: Expr, number: Expr) -> list[Statement]:
        """Outputs from start to stop, which are numbers within the phase, and where their input begins."""
        window, count = self.windows[axis], self.sizes.outputs[axis]
        start, local_phase = self.starts[axis], self.phases[axis]
        stop = smaller(start + count, window.outputs_in(local_phase))
        origin = binary("add", window.origin(local_phase), start * window.stride)
        return [
            Let(local_phase.name, phase),
            Let(start.name, number * count),
            Let(self.stops[axis].name, stop),
            Let(self.origins[axis].name, origin),
        ]

    def _blocks(self) -> tuple[Statement, ...]:
        """All results of the task: block after block of the input channels."""
        problem, step = self.problem, self.sizes.channels
        if problem.separate:
            whole = problem.channels_in
            first = FIRST // problem.separate
            fill = self.block.fill(IMAGE, self.origins, first, smaller(index(whole) - first, step), whole)
            return (*fill, *self._panels())
        first = GROUP * extent_expr(problem.channels)
        if not self.cuts_channels:
            fill = self.block.fill(IMAGE, self.origins, first, index(step), problem.channels)
            return (*fill, *self._panels())
        count = smaller(index(problem.channels) - BLOCK, step)
        fill = self.block.fill(IMAGE, self.origins, binary("add", first, BLOCK), count, problem.channels)
        at_least_once = binary("maximum", index(problem.channels), 1)
        return (Alloc(self.partial), loop(BLOCK, at_least_once, *fill, *self._panels(), step=step))

    def _panels(self) -> tuple[Statement, ...]:
        n, sizes = self.problem.n, self.sizes
        stop = smaller(FIRST + sizes.task_columns, n)
        return over_panels(n, sizes.columns, self.problem.lanes, FIRST, stop, self._panel)

    def _panel(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        body = self._tile(columns, masked)
        steps = [1] * (len(self.outs) - 2) + [self.sizes.high, self.sizes.wide][-len(self.outs) :]
        for axis in reversed(range(len(self.outs))):
            start, stop = self.starts[axis], self.stops[axis]
            body = (loop(self.outs[axis], stop, *body, start=start, step=steps[axis]),)
        return body

    # one tile

    def _tile(self, columns: int, masked: bool) -> tuple[Statement, ...]:
        problem = self.problem
        tile = Registers(problem, self.sizes.rows, columns)
        body: list[Statement] = [*tile.zeros(), Let(AT.name, self._first_place())]
        if not self.cuts_channels:
            results = Buffer("c.tile", problem.dtype, (tile.rows, columns))
            body += [*self._sum(tile, masked), Alloc(results), tile.spill(results)]
            row = HIGH * self.sizes.wide + WIDE if len(self.outs) > 1 else WIDE
            return (*body, self._results(columns, masked, Load(results, (row, LANE))))
        high, wide = self._within_tile(ROW_IN_TILE)
        part = (self._pixel(high, wide), COLUMN - FIRST + LANE)
        body += [If(BLOCK > 0, (tile.resume(self.partial, part),)), *self._sum(tile, masked)]
        body.append(tile.spill(self.partial, part))
        done = BLOCK + self.sizes.channels >= index(problem.channels)
        value = Load(self.partial, (self._pixel(HIGH, WIDE), COLUMN - FIRST + LANE))
        return (*body, If(done, (self._results(columns, masked, value),)))

    def _within_tile(self, row: Expr) -> tuple[Expr, Expr]:
        """How far a row of the tile is from its first along the last two axes."""
        if len(self.outs) == 1:
            return index(0), row
        return row // self.sizes.wide, row % self.sizes.wide

    def _pixel(self, high: Expr, wide: Expr) -> Expr:
        """The number of an output among those of the task."""
        number: Expr = index(0)
        offsets = [*([index(0)] * len(self.outs)), high, wide][-len(self.outs) :]
        for axis, offset in enumerate(offsets):
            place = binary("add", self.outs[axis] - self.starts[axis], offset)
            number = binary("add", number * self.sizes.outputs[axis], place)
        return number

    def _first_place(self) -> Expr:
        """Where in the block the first output of the tile reads its first tap."""
        place: Expr = index(0)
        for axis, (window, pitch) in enumerate(zip(self.windows, self.block.pitches, strict=True)):
            offset = (self.outs[axis] - self.starts[axis]) * (window.stride * pitch)
            place = binary("add", place, offset)
        return place

    def _sum(self, tile: Registers, masked: bool) -> tuple[Statement, ...]:
        """held += the tile's inputs times weights, over all taps and the channels of the block."""
        last = self.windows[-1]
        run = not (self.cuts_channels or self.problem.separate) and last.phases == 1 and last.step == 1
        looped = len(self.taps) - 1 if run else len(self.taps)
        step = tile.step(self._left(), self._right(), self._inside if masked and not self.packs else None)
        if self.problem.separate:
            body: tuple[Statement, ...] = step
        else:
            stop = smaller(index(self.problem.channels) - BLOCK, self.sizes.channels)
            stop = stop if self.cuts_channels else index(self.problem.channels)
            body = (loop(DEPTH, stop * last.size if run else stop, *step),)
        at, weight = self._at_taps(looped)
        body = (Let("c.from", at), Let(WEIGHT.name, weight), *body)
        for axis in reversed(range(looped)):
            count = self.windows[axis].count(self.phases[axis])
            body = (loop(self.taps[axis], count, *body),)
        return body

    def _at_taps(self, looped: int) -> tuple[Expr, Expr]:
        """Where the block and the weights stand at the taps of the loops around."""
        at: Expr = AT
        depth: Expr = index(0)
        for axis, window in enumerate(self.windows):
            depth = binary("mul", depth, window.size)
            if axis < looped:
                tap = self.taps[axis]
                at = binary("add", at, tap * (window.step * self.block.pitches[axis]))
                first = window.first(self.phases[axis])
                depth = binary("add", depth, binary("add", first, tap * window.skip))
        if self.problem.separate:
            return at, depth
        depth = binary("mul", depth, extent_expr(self.problem.channels))
        return at, binary("add", depth, BLOCK) if self.cuts_channels else depth

    def _left(self) -> Expr:
        """The input of the tile's row, which has a constant distance from the first row's."""
        high, wide = self._within_tile(ROW_IN_TILE)
        pitches, windows = self.block.pitches, self.windows
        place = binary("add", local("c.from"), wide * (windows[-1].stride * pitches[-1]))
        if len(self.outs) > 1:
            place = binary("add", place, high * (windows[-2].stride * pitches[-2]))
        if self.problem.separate:
            channel = COLUMN + LANE
            own = binary("div", channel, self.problem.separate) - FIRST // self.problem.separate
            return Load(self.block.buffer, (place + own,))
        return Load(self.block.buffer, (place + DEPTH,))

    def _right(self) -> Expr:
        depth = WEIGHT if self.problem.separate else WEIGHT + DEPTH
        if self.packs:
            return Load(self.panels.buffer, (self.panels.place(GROUP, COLUMN, depth, LANE),))
        assert self.problem.right_flat is not None, "weights that are not in memory as they are get packed"
        return self.problem.right_flat(depth, self._channel(GROUP, COLUMN + LANE))

    def _channel(self, group: Expr, n: Expr) -> Expr:
        """The output channel that is the n-th of its group."""
        return binary("add", binary("mul", group, extent_expr(self.problem.n)), n)

    @property
    def _inside(self) -> Expr:
        return index(self.problem.n) > COLUMN + LANE

    def _results(self, columns: int, masked: bool, value: Expr) -> Statement:
        """The epilogue on the outputs of the tile that exist."""
        problem, result = self.problem, Local("c.value", self.problem.dtype)
        offsets: Sequence[Expr] = [*([index(0)] * len(self.outs)), HIGH, WIDE][-len(self.outs) :]
        places = [
            binary("add", self.phases[axis], (self.outs[axis] + offset) * self.windows[axis].phases)
            for axis, offset in enumerate(offsets)
        ]
        *outer, last = places
        n = self._channel(GROUP, COLUMN + LANE)
        inside = (Let(result.name, value), *problem.epilogue((IMAGE, *outer), last, n, result))
        body = loop(LANE, columns, *((If(self._inside, inside),) if masked else inside), mode="vector")
        body = loop(WIDE, self._rest(-1, self.sizes.wide), body)
        return loop(HIGH, self._rest(-2, self.sizes.high), body) if len(self.outs) > 1 else body

    def _rest(self, axis: int, count: int) -> Expr:
        """Outputs of the tile along an axis that exist."""
        outputs = self.windows[axis].outputs
        if isinstance(outputs, int) and self.windows[axis].phases == 1 and outputs % count == 0:
            return index(count)
        return smaller(self.stops[axis] - self.outs[axis], count)
