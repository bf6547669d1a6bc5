"""What the gradient of a convolution's weights is, and how it is cut: shares, blocks of outputs, tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from compiler.loop.grammar import Expr
from compiler.lower.contraction_blocks import round_up, size, tile_columns
from compiler.lower.contraction_problem import Epilogue, Indices, Writing
from compiler.lower.convolution_problem import BLOCK_BYTES, bytes_of, grow, tile_shape
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
    least = [1] * (len(windows) - 1) + [min(size(windows[-1].outputs), WIDEST)]
    channels = _channels(problem, least, min(wide_n, 2 * columns))
    counts = [size(w.outputs) for w in windows]
    outputs = grow(windows, counts, least, channels, item, OUTPUTS)
    run = not problem.separate and channels == problem.channels and windows[-1].dilation == 1
    lengths = [w.reach(count) for w, count in zip(windows, outputs, strict=True)]
    axes = _row_axes(problem, [prod(lengths[axis + 1 :]) * channels for axis in range(len(lengths))], run)
    vectors = columns // min(columns, problem.lanes)
    high, wide = tile_shape([size(count) for count, _ in axes], vectors, problem.target)
    units = [1] * (len(axes) - 2) + [high, wide][-len(axes) :]
    rows = tuple(
        RowAxis(count, pitch, _room(count, unit)) for (count, pitch), unit in zip(axes, units, strict=True)
    )
    sums = prod(size(axis.room) for axis in rows)
    own = sums // size(rows[-1].room) * channels if not (run or problem.separate) else sums
    task_columns = min(wide_n, max(columns, SUM_BYTES // (own * item) // columns * columns))
    if problem.separate:
        task_columns = channels * problem.separate
    tasks = problem.groups * -(-size(problem.channels) // channels) * -(-wide_n // task_columns)
    most = SHARE_BYTES // (sums * wide_n * problem.groups * item)
    blocks = prod(-(-count // n) for count, n in zip(counts, outputs, strict=True)) * size(problem.images)
    shares = max(1, min(-(-SHARES // tasks), most, blocks))
    return WeightCut(run, rows, high, wide, columns, task_columns, channels, outputs, shares)


def _channels(problem: WeightGradient, least: list[int], separate_most: int) -> int:
    """Channels of a block: all, or as many as fit."""
    if problem.separate:
        return separate_most
    channels = problem.channels if isinstance(problem.channels, int) else WIDEST
    item = problem.dtype.itemsize
    while channels > 8 and bytes_of(problem.source.windows, least, channels, item) > BLOCK_BYTES:
        channels = round_up(channels // 2, 8)
    return channels


def _row_axes(problem: WeightGradient, pitches: Sequence[int], run: bool) -> list[tuple[Extent, int]]:
    windows = problem.source.windows
    taps: list[tuple[Extent, int]] = [
        (w.size, w.dilation * pitch) for w, pitch in zip(windows, pitches, strict=True)
    ]
    if problem.separate:
        return taps
    if run:
        return [*taps[:-1], (problem.channels * windows[-1].size, 1)]
    return [*taps, (problem.channels, 1)]


def _room(count: Extent, unit: int) -> Extent:
    return round_up(count, unit) if isinstance(count, int) else count + (unit - 1)
