"""What a convolution is, and how it is cut: register tile, and blocks of outputs that are one task's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from compiler.llvm.target import Target
from compiler.loop.grammar import Expr
from compiler.lower.contraction_blocks import round_up, size, tile_columns
from compiler.lower.contraction_problem import Epilogue, Indices, Writing
from compiler.lower.window import Window
from compiler.lower.window_source import Source
from symgraph.dimension import Extent, product

BLOCK_BYTES = 64 * 1024  # of the input that one task copies
NEAR_WEIGHTS = 256 * 1024  # bytes of weights that stay in the second cache
MANY_OUTPUTS = 48  # of a task that reads its weights from farther away, where they stand apart
REPAYING_OUTPUTS = 256  # outputs for which weights that stand apart are worth a packed copy
NEAR_PANELS = 2  # panels of weights side by side that are read where they are
FEW_CHANNELS, UNKNOWN_CHANNELS = 8, 64  # of a block, at least; and where their number is not known
LEAST_SUMS = 8  # registers whose sums hide the latency of a multiply-add
SINGLE = 1 << 20  # multiplications that are worth a task


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution(Writing):
    """y[image, o..., co] = sum over taps and channels of x at (o, tap, channel) * right(tap, channel, co).

    Each of `groups` groups has `channels` channels of the input and `n` of the output. `separate`: each
    output channel reads one channel of the input, the `separate`-th part of its number; then groups is 1.
    `right_flat(depth, co)` is `right` by the number of (tap, channel); None where memory is not like that.
    `right_known`: it is a constant.
    """

    images: Extent
    windows: tuple[Window, ...]
    groups: int
    channels: Extent
    n: Extent
    separate: int
    source: Source
    right: Callable[[Indices, Expr, Expr], Expr]
    right_flat: Callable[[Expr, Expr], Expr] | None
    right_unit: Literal["k", "n", None]
    right_known: bool
    epilogue: Epilogue

    @property
    def channels_in(self) -> Extent:
        """Channels of the input, of all groups."""
        return self.source.node.type.shape[-1]


@dataclass(frozen=True, slots=True)
class Cut:
    """Sizes. A tile is high x wide outputs along the last two axes, times `columns` channels.

    A task makes `outputs` of them along each axis, from `channels` input channels at a time.
    """

    high: int
    wide: int
    columns: int
    outputs: tuple[int, ...]
    channels: int
    task_columns: int

    @property
    def rows(self) -> int:
        return self.high * self.wide


def cut(problem: Convolution) -> Cut:
    """Sizes from the registers, the caches and the work; nothing depends on the number of threads."""
    lanes = problem.lanes
    columns = tile_columns(problem.n, lanes)
    wide_n = round_up(size(problem.n), columns)
    task_columns = wide_n if problem.separate == 0 else min(wide_n, 2 * columns) * problem.separate
    counts = [-(-size(w.outputs) // w.phases) for w in problem.windows]
    high, wide = tile_shape(counts, columns // min(columns, lanes), problem.target)
    tile = [1] * (len(counts) - 2) + [high, wide][-len(counts) :]
    taps, item = prod(w.taps for w in problem.windows), problem.dtype.itemsize
    if problem.separate:
        channels = task_columns // problem.separate
    else:
        far = not packs_weights(problem) and taps * size(problem.channels) * wide_n * item > NEAR_WEIGHTS
        wanted = grow(problem.windows, counts, tile, FEW_CHANNELS, item, MANY_OUTPUTS) if far else tile
        channels = fitting_channels(problem.windows, problem.channels, wanted, item)
    each = taps * (1 if problem.separate else channels) * task_columns
    outputs = grow(problem.windows, counts, tile, channels, item, SINGLE // max(1, each))
    if channels != problem.channels and not problem.separate:
        fitting = BLOCK_BYTES // (prod(outputs) * item) // columns * columns
        task_columns = min(task_columns, max(columns, fitting))
    return Cut(high, wide, columns, outputs, channels, task_columns)


def packs_weights(problem: Convolution) -> bool:
    """Whether weights are copied into panels: where they are not memory, or stand apart and serve often."""
    if problem.right_flat is None:
        return True
    columns = tile_columns(problem.n, problem.lanes)
    if isinstance(problem.n, int) and problem.n * problem.groups <= NEAR_PANELS * columns:
        return False
    outputs = product((problem.images, *(w.outputs for w in problem.windows)))
    return problem.right_known or not isinstance(outputs, int) or outputs >= REPAYING_OUTPUTS


def fitting_channels(
    windows: tuple[Window, ...], channels: Extent, outputs: Sequence[int], item: int
) -> int:
    """How many channels of the input these outputs may read at a time: all, or as many as a block holds."""
    count = channels if isinstance(channels, int) else UNKNOWN_CHANNELS
    while count > FEW_CHANNELS and bytes_of(windows, outputs, count, item) > BLOCK_BYTES:
        count = round_up(count // 2, FEW_CHANNELS)
    return count


def bytes_of(windows: tuple[Window, ...], outputs: Sequence[int], channels: int, item: int) -> int:
    lengths = (w.reach(count) for w, count in zip(windows, outputs, strict=True))
    return prod(lengths) * channels * item


def grow(
    windows: tuple[Window, ...], counts: list[int], tile: list[int], channels: int, item: int, enough: int
) -> tuple[int, ...]:
    """Outputs of a task along each axis: from one tile, the last axis first, until they are enough work."""
    outputs = list(tile)
    for axis in reversed(range(len(outputs))):
        while outputs[axis] < counts[axis]:
            more = list(outputs)
            more[axis] += tile[axis]
            whole_row = axis == len(outputs) - 1 and len(outputs) > 1
            limit = BLOCK_BYTES if prod(outputs) < enough or whole_row else 0
            if bytes_of(windows, more, channels, item) > limit:
                break
            outputs = more
        parts = -(-counts[axis] // outputs[axis])
        outputs[axis] = round_up(-(-counts[axis] // parts), tile[axis])
    return tuple(outputs)


def tile_shape(counts: list[int], vectors: int, target: Target) -> tuple[int, int]:
    """Outputs of a tile along the last two axes: as much as registers hold, with the least left over."""
    most = (target.vector_registers - 4) // vectors if target.vector_registers < 32 else 22 // vectors
    above, across = (counts[-2] if len(counts) > 1 else 1), counts[-1]

    def cost(shape: tuple[int, int]) -> tuple[float, int]:
        high, wide = shape
        tiles = -(-above // high) * -(-across // wide)
        return tiles * (max(LEAST_SUMS, high * wide * vectors) + 2), high

    shapes = [(high, wide) for high in range(1, most + 1) for wide in range(1, most // high + 1)]
    return min((s for s in shapes if s[0] <= max(1, above) and s[1] <= max(1, across)), key=cost)
