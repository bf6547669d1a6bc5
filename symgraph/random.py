"""Seeds and generators: where the keys and counters of random numbers live."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from symgraph.eager import State
from symgraph.ops.phase import carry, read
from symgraph.ops.random import random_bernoulli, random_normal, random_uniform
from symgraph.types import DType, as_dtype, as_shape, float32
from symgraph.value import Value

_MASK = (1 << 64) - 1


class _Root(threading.local):
    """The seed in force, and how many generators were made from it."""

    seed = 0
    made = 0
    host: np.random.Generator | None = None
    default: Generator | None = None


_root = _Root()


def seed(n: int) -> None:
    """Start again from seed n: weights and generators made from here on repeat bit for bit."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"a seed is an int from 0, not {n!r}")
    _root.seed, _root.made, _root.host, _root.default = int(n), 0, None, None


def host_generator() -> np.random.Generator:
    """numpy's generator under the current seed, for initial weights and shuffling."""
    if _root.host is None:
        _root.host = np.random.Generator(np.random.Philox(_root.seed))
    return _root.host


def _splitmix(x: int) -> int:
    """Steele et al. 2014: spreads a small number over 64 bits."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class Generator:
    """A stream of random numbers. Every draw moves its counter on; in a compiled function too."""

    def __init__(self) -> None:
        _root.made += 1
        key = _splitmix(_splitmix(_root.seed) ^ _root.made) | 1  # squares wants odd keys
        self.key = State("rng_key", np.asarray(key, np.uint64).view(np.int64))
        self.counter = State("rng_counter", np.asarray(0, np.int64))

    def _draw(self, like: Value, draw: Any, always: bool) -> Value:
        seen = read(self.counter, like)
        # Eagerly `seen` is the state itself, so the next value is made before it changes.
        return carry(draw(self.key, seen), self.counter, seen, seen + 1, always)

    def uniform(self, like: Value, shape: Any, dtype: DType = float32, always: bool = True) -> Value:
        """Uniform numbers in [0, 1) in the world of `like`."""
        spec = {"shape": as_shape(shape), "dtype": as_dtype(dtype)}
        return self._draw(like, lambda key, c: random_uniform(key, c, **spec), always)

    def normal(self, like: Value, shape: Any, dtype: DType = float32, always: bool = True) -> Value:
        """Standard normal numbers in the world of `like`."""
        spec = {"shape": as_shape(shape), "dtype": as_dtype(dtype)}
        return self._draw(like, lambda key, c: random_normal(key, c, **spec), always)

    def bernoulli(self, like: Value, p: float, shape: Any, always: bool = True) -> Value:
        """True with probability p, in the world of `like`."""
        return self._draw(like, lambda key, c: random_bernoulli(key, c, p, shape=as_shape(shape)), always)


def default_generator() -> Generator:
    """The generator of functions called without one."""
    if _root.default is None:
        _root.default = Generator()
    return _root.default
