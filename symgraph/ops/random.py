"""Counter-based random numbers: a formula of (key, counter, position), so both worlds, any number of
threads and exported code draw the same bits. (Symgraph's generators keep key and counter as state.)"""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.dimension import Shape
from symgraph.op import Kind, Op
from symgraph.ops.elementary import cos, log, sqrt
from symgraph.ops.function import Function
from symgraph.ops.logic import less
from symgraph.ops.scalars import NUMPY
from symgraph.types import DType, TensorType, float32, int64
from symgraph.value import Value, apply

Axes = tuple[int, ...]
TWO_PI = 6.283185307179586


def _squares(k: Any, key: Any, counter: Any, position: Any) -> tuple[Any, Any, Any]:
    """Widynski 2020, "Squares: a fast counter-based RNG": three rounds of squaring."""
    y = (counter * (1 << 32) + position) * key
    z = y + key
    x = _swap_halves(k, y * y + y)
    x = _swap_halves(k, x * x + z)
    return _swap_halves(k, x * x + y), y, z


def _swap_halves(k: Any, x: Any) -> Any:
    return k.shift_right(x, 32) | x * (1 << 32)


def _uniform(
    k: Any, key: Any, counter: Any, position: Any, *, dtype: DType, shape: Shape = (), order: Axes = ()
) -> Any:
    """Uniform in [0, 1): 24 random bits in float32, 53 in float64. The flat position says it all."""
    x, y, z = _squares(k, key, counter, position)
    last = x * x + z
    if dtype == float32:
        return k.cast(k.shift_right(last, 40), dtype) * 2.0**-24
    # The 64-bit variant: a fifth round fills the low half.
    swapped = _swap_halves(k, last)
    full = last ^ k.shift_right(swapped * swapped + y, 32)
    return k.cast(k.shift_right(full, 11), dtype) * 2.0**-53


def _infer_uniform(
    key: TensorType, counter: TensorType, *, shape: Shape, dtype: DType, order: Axes = ()
) -> TensorType:
    """With `order`, axis j is axis order[j] of `shape`, in whose row-major order the numbers are drawn."""
    return TensorType(tuple(shape[a] for a in order) if order else shape, dtype)


def _evaluate_uniform(
    key: np.ndarray, counter: np.ndarray, *, shape: Any, dtype: DType, order: Axes = ()
) -> np.ndarray:
    position = np.arange(int(np.prod(shape)), dtype=int64).reshape(shape)
    position = position.transpose(order) if order else position
    return np.asarray(_uniform(NUMPY, key, counter, position, dtype=dtype)).astype(dtype, copy=False)


UNIFORM = Op("random_uniform", Kind.RANDOM, _infer_uniform, _evaluate_uniform, _uniform)


def _call_uniform(key: Any, counter: Any, *, shape: Shape, dtype: DType = float32) -> Value:
    """Uniform numbers in [0, 1) from an int64 key and an int64 counter, one for each position."""
    return apply(UNIFORM, (key, counter), shape=shape, dtype=dtype)


random_uniform = Function(UNIFORM, _call_uniform, _call_uniform)


def random_normal(key: Any, counter: Any, *, shape: Shape, dtype: DType = float32) -> Value:
    """Standard normal numbers by Box and Muller's transform of two uniform streams."""
    radius = random_uniform(key, counter, shape=shape, dtype=dtype)
    angle = random_uniform(key ^ 0x5851F42D4C957F2D, counter, shape=shape, dtype=dtype)
    return sqrt(-2.0 * log(1.0 - radius)) * cos(TWO_PI * angle)


def random_bernoulli(key: Any, counter: Any, p: float, *, shape: Shape) -> Value:
    """True with probability p."""
    return less(random_uniform(key, counter, shape=shape), p)


@random_uniform.vjp
def random_uniform_vjp(key: Any, counter: Any, out: Any, g: Any, **attrs: Any) -> Any:
    return None, None
