"""What the gradient of a convolution's weights is, and how it is cut: shares, blocks of outputs, tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from compiler.loop.grammar import Expr
from compiler.lower.contraction_blocks import round_up, size, tile_columns
from compiler.lower.contraction_problem import Epilogue, Indices, Writing
from compiler.lower.convolution_problem import FEW_CHANNELS, fitting_channels, grow, tile_shape
from compiler.lower.window_source import Source
from symgraph.dimension import Extent

SHARES = 8  # tasks that are wanted at least
SHARE_BYTES = 4 * 1024 * 1024  # of all shares' sums
SUM_BYTES = 256 * 1024  # of a task's sums
OUTPUTS = 128  # of a block: so many products a sum repay keeping it in memory between blocks
WIDEST = 64  # outputs of a block along the last axis


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightGradient(Writing):
    """w[tap..., c, co] = sum over images and outputs o of x at (o, tap, c) times gradient((image, o...), co).

    For `groups`, `channels`, `n` and `separate` see Convolution. `in_place`: the gradient is read as it lies
    in memory, neighbouring channels side by side; else each block of it is copied.
    """

    images: Extent
    groups: int
    channels: Extent
    n: Extent
    separate: int
    source: Source
    gradient: Callable[[Indices, Expr], Expr]
    in_place: bool
    epilogue: Epilogue

    @property
    def channels_in(self) -> Extent:
        """Channels of the input, of all groups."""
        return self.source.node.type.shape[-1]


@dataclass(frozen=True, slots=True)
class RowAxis:
    """An axis of the result's rows: how many there are, how far apart they read in the block, and how many
    there is room for, as tiles may reach beyond the last."""

    count: Extent
    pitch: int
    room: Extent


@dataclass(frozen=True, slots=True)
class WeightCut:
    """Sizes. Rows are the taps and channels; with `run`, the last tap and the channels are one axis.

    A tile is high x wide rows along the last two of their axes, times `columns` channels out. A task sums
    one of `shares` of the blocks of `outputs`, for `channels` and `task_columns` of the channels.
    """

    run: bool
    rows: tuple[RowAxis, ...]
    high: int
    wide: int
    columns: int
    task_columns: int
    channels: int
    outputs: tuple[int, ...]
    shares: int

    @property
    def tile_rows(self) -> int:
        return self.high * self.wide

    @property
    def beyond(self) -> int:
        """How far behind its end the last tile reads the block."""
        return sum((size(axis.room) - size(axis.count)) * axis.pitch for axis in self.rows)


def cut_weight(problem: WeightGradient) -> WeightCut:
    """Sizes from the registers, the caches and the work; nothing depends on the number of threads."""
    windows, item = problem.source.windows, problem.dtype.itemsize
    columns = tile_columns(problem.n, problem.lanes)
    wide_n = round_up(size(problem.n), columns)
    counts = [size(w.outputs) for w in windows]
    least = [1] * (len(windows) - 1) + [min(counts[-1], WIDEST)]
    channels = _channels(problem, counts, least, min(wide_n, 2 * columns))
    run = not problem.separate and channels == problem.channels and windows[-1].dilation == 1
    vectors = columns // min(columns, problem.lanes)
    high, wide = tile_shape([size(count) for count in _row_counts(problem, run)], vectors, problem.target)
    if not problem.separate and channels != problem.channels:
        channels = max(wide, channels // wide * wide)  # no tile reaches into the channels of another task
    outputs = grow(windows, counts, least, channels, item, OUTPUTS)
    rows = _rows(problem, outputs, channels, run, (high, wide))
    sums = prod(size(axis.room) for axis in rows)
    own = sums if run or problem.separate else sums // size(rows[-1].room) * channels
    task_columns = min(wide_n, max(columns, SUM_BYTES // (own * item) // columns * columns))
    if problem.separate:
        task_columns = channels * problem.separate
    tasks = problem.groups * -(-size(problem.channels) // channels) * -(-wide_n // task_columns)
    most = SHARE_BYTES // (sums * wide_n * problem.groups * item)
    blocks = prod(-(-count // n) for count, n in zip(counts, outputs, strict=True)) * size(problem.images)
    shares = max(1, min(-(-SHARES // tasks), most, blocks))
    return WeightCut(run, rows, high, wide, columns, task_columns, channels, outputs, shares)


def _channels(problem: WeightGradient, counts: list[int], least: list[int], most_separate: int) -> int:
    """Channels of a block: all, or as many as fit with enough outputs."""
    if problem.separate:
        return most_separate
    windows, item = problem.source.windows, problem.dtype.itemsize
    wanted = grow(windows, counts, least, FEW_CHANNELS, item, OUTPUTS)
    return fitting_channels(windows, problem.channels, wanted, item)


def _row_counts(problem: WeightGradient, run: bool) -> list[Extent]:
    """The extents of the rows' axes."""
    taps: list[Extent] = [w.size for w in problem.source.windows]
    if problem.separate:
        return taps
    return [*taps[:-1], problem.channels * taps[-1]] if run else [*taps, problem.channels]


def _rows(
    problem: WeightGradient, outputs: Sequence[int], channels: int, run: bool, tile: tuple[int, int]
) -> tuple[RowAxis, ...]:
    """The rows' axes over a block that these outputs read."""
    windows = problem.source.windows
    lengths = [w.reach(count) for w, count in zip(windows, outputs, strict=True)]
    pitches = [
        w.dilation * prod(lengths[axis + 1 :]) * channels for axis, w in enumerate(windows)
    ]
    if not problem.separate:
        pitches = [*pitches[:-1], 1] if run else [*pitches, 1]
    counts = _row_counts(problem, run)
    units = [1] * (len(counts) - 2) + [*tile][-len(counts) :]
    return tuple(
        RowAxis(count, pitch, _room(count, unit))
        for count, pitch, unit in zip(counts, pitches, units, strict=True)
    )


def _room(count: Extent, unit: int) -> Extent:
    return round_up(count, unit) if isinstance(count, int) else count + (unit - 1)
