"""The part of a convolution's input that one task reads, copied with its padding to memory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.loop.grammar import Alloc, Buffer, Expr, Index, Local, Statement, Store, binary, constant, index
from compiler.lower.contraction_problem import loop, smaller
from compiler.lower.window_source import Source
from symgraph.dimension import Extent
from symgraph.types import DType, int64

CHANNEL, FLAT = Index("c.channel"), Index("c.flat")


@dataclass(frozen=True, slots=True)
class Block:
    """[*lengths, channels], and `slack` elements behind that may be read and do not count.

    Element p along an axis is element origin + p of the source, or zero where that lies outside.
    """

    source: Source
    dtype: DType
    lengths: tuple[int, ...]
    channels: int
    slack: int = 0

    @property
    def buffer(self) -> Buffer:
        return Buffer("c.block", self.dtype, (prod(self.lengths) * self.channels + self.slack,))

    @property
    def pitches(self) -> tuple[int, ...]:
        """Elements between neighbours along each spatial axis."""
        return tuple(prod(self.lengths[axis + 1 :]) * self.channels for axis in range(len(self.lengths)))

    def fill(
        self, image: Expr, origins: Sequence[Expr], first: Expr, count: Expr, channels: Extent
    ) -> tuple[Statement, ...]:
        """Copies channels first to first + count of the source, which has `channels`."""
        places = [Index(f"c.p{axis}") for axis in range(len(self.lengths))]
        spatial = tuple(binary("add", origin, place) for origin, place in zip(origins, places, strict=True))
        *outer, last = (place * pitch for place, pitch in zip(places, self.pitches, strict=True))
        row = sum(outer, index(0))
        bounds = [self._inside(axis, origin) for axis, origin in enumerate(origins)]
        low, high = bounds[-1]
        if self.source.merges and channels == self.channels and channels == self.source.node.type.shape[-1]:
            value = self.source.read_merged(image, spatial[:-1], origins[-1] * self.channels + FLAT)
            copy = Store(self.buffer, (binary("add", row, FLAT),), value)
            start, stop = low * self.channels, high * self.channels
            inner = loop(FLAT, stop, copy, start=start, mode="vector")
        else:
            value = self.source.read(image, spatial, binary("add", first, CHANNEL))
            copy = Store(self.buffer, (binary("add", row, last + CHANNEL),), value)
            if self.source.along_space:
                inner = loop(places[-1], high, copy, start=low, mode="vector")
                inner = loop(CHANNEL, count, inner)
            else:
                inner = loop(CHANNEL, count, copy, mode="vector")
                inner = loop(places[-1], high, inner, start=low)
        for place, (low, high) in reversed(list(zip(places[:-1], bounds[:-1], strict=True))):
            inner = loop(place, high, inner, start=low)
        return (*self._clear(), inner)

    def alloc(self) -> Alloc:
        return Alloc(self.buffer)

    def _clear(self) -> tuple[Statement, ...]:
        if not self.source.padded:
            return ()
        clear = Store(self.buffer, (FLAT,), constant(0, self.dtype))
        return (loop(FLAT, self.buffer.shape[0], clear, mode="vector"),)

    def _inside(self, axis: int, origin: Expr) -> tuple[Expr, Expr]:
        """The places of the block, from and to, that lie in the source."""
        low = binary("maximum", binary("sub", index(0), origin), 0) if self.source.padded else index(0)
        left = binary("sub", index(self.source.windows[axis].source), origin)
        return low, smaller(left, self.lengths[axis])


def local(name: str) -> Local:
    return Local(name, int64)
