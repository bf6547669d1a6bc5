"""The windows of a convolution along one axis: which elements they read, and what of that is padding."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from compiler.loop.grammar import Expr, binary, index
from symgraph.dimension import Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`outputs` windows of `size` taps, `dilation` apart, one every `stride` elements.

    The elements are `source` ones, with `before` zeros in front, any number behind, and `between` ones
    between neighbours (then the stride is 1). Between zeros, only every (between + 1)-th tap meets an
    element, and which these are is the same for every (between + 1)-th output. So outputs come in `phases`:
    output phase + u * phases reads at tap first(phase) + v * skip the element
    origin(phase) + u * stride + v * step.
    """

    source: Extent
    outputs: Extent
    size: int
    stride: int
    dilation: int
    before: Extent = 0
    between: int = 0

    @property
    def phases(self) -> int:
        return self.between + 1

    @property
    def _shared(self) -> int:
        return gcd(self.dilation, self.phases)

    @property
    def step(self) -> int:
        return self.dilation // self._shared

    @property
    def skip(self) -> int:
        return self.phases // self._shared

    @property
    def taps(self) -> int:
        """The most taps that a phase has."""
        return -(-self.size // self.skip)

    @property
    def most_outputs(self) -> Extent | Expr:
        """The outputs of the first phase, which has the most."""
        return self.outputs if self.phases == 1 else self.outputs_in(index(0))

    def outputs_in(self, phase: Expr) -> Expr:
        return binary("div", index(self.outputs) + (self.phases - 1) - phase, self.phases)

    def first(self, phase: Expr) -> Expr:
        """The least tap k for which before - phase - k * dilation is a multiple of the phases."""
        if self.phases == 1:
            return index(0)
        inverse = pow(self.step, -1, self.skip)
        return binary("mod", binary("div", self._rest(phase), self._shared) * inverse, self.skip)

    def count(self, phase: Expr) -> Expr:
        """How many taps the phase has: none where no multiple of the dilation leads to an element."""
        if self.phases == 1:
            return index(self.size)
        fitting = binary("div", index(self.size + self.skip - 1) - self.first(phase), self.skip)
        missed = binary("minimum", binary("mod", self._rest(phase), self._shared), 1)
        return binary("mul", fitting, binary("sub", index(1), missed))

    def _rest(self, phase: Expr) -> Expr:
        return binary("mod", index(self.before) - phase, self.phases)

    def origin(self, phase: Expr) -> Expr:
        """The element that output 0 of the phase reads with its first tap; negative in the padding."""
        if self.phases == 1:
            return binary("sub", index(0), index(self.before))
        first = self.first(phase) * self.dilation
        return binary("div", phase + first - index(self.before), self.phases)

    def reach(self, outputs: int) -> int:
        """Elements that this many neighbouring outputs of a phase read, from the first to the last."""
        return (outputs - 1) * self.stride + (self.taps - 1) * self.step + 1
