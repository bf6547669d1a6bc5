"""Dropout: random zeros while training."""

from __future__ import annotations

from typing import Any

from symgraph.nn.module import Module
from symgraph.ops.function import lift_like
from symgraph.ops.logic import where
from symgraph.ops.phase import by_phase
from symgraph.random import Generator, default_generator


class Dropout(Module):
    """Each element is 0 with probability p, the others are divided by 1 - p; inference leaves x as it is.

    Srivastava et al. 2014, with the inverted scaling. Every module has its own stream of random numbers, and
    both worlds draw the same masks step by step.
    """

    def __init__(self, p: float = 0.5):
        _check(p)
        self.p = p
        self.generator = Generator()

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        return by_phase(x, self.training, lambda: _dropped(x, self.p, self.generator, False), lambda: x)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout(x: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Any:
    """x with dropout if `training`, in any function it is part of; `nn.Dropout` asks the function."""
    _check(p)
    value = lift_like(x, (x,))
    return _dropped(value, p, generator or default_generator(), True) if training else value


def _dropped(x: Any, p: float, generator: Generator, always: bool) -> Any:
    if p == 0.0:
        return x
    kept: Any = generator.bernoulli(x, 1.0 - p, x.shape, always)
    return where(kept, x * (1.0 / (1.0 - p)), 0.0) if p < 1.0 else where(kept, x, 0.0)


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: p is a probability from 0 to 1, not {p!r}")
