"""Initial weights, drawn from the generator that `sg.seed` sets.

Shapes follow PyTorch's convention (out, in, *window): `fan_in` is in * window, `fan_out` is out * window.
For a matrix used as `x @ w`, of shape (in, out), take mode="fan_out".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from symgraph.errors import ShapeError
from symgraph.random import host_generator
from symgraph.types import DType, as_dtype, float32

Shape = int | Sequence[int]


def zeros(shape: Shape, dtype: DType = float32) -> np.ndarray:
    return np.zeros(shape, as_dtype(dtype))


def ones(shape: Shape, dtype: DType = float32) -> np.ndarray:
    return np.ones(shape, as_dtype(dtype))


def constant(shape: Shape, value: float, dtype: DType = float32) -> np.ndarray:
    return np.full(shape, value, as_dtype(dtype))


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0, dtype: DType = float32) -> np.ndarray:
    """Uniform in [low, high)."""
    return host_generator().uniform(low, high, shape).astype(as_dtype(dtype))


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0, dtype: DType = float32) -> np.ndarray:
    return host_generator().normal(mean, std, shape).astype(as_dtype(dtype))


def xavier(
    shape: Shape, distribution: str = "uniform", gain: float = 1.0, dtype: DType = float32
) -> np.ndarray:
    """Variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    fan_in, fan_out = _fans(shape)
    return _with_std(shape, distribution, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)), dtype)


def he(
    shape: Shape,
    distribution: str = "normal",
    mode: str = "fan_in",
    gain: float = math.sqrt(2.0),
    dtype: DType = float32,
) -> np.ndarray:
    """Variance gain^2 / fan (He et al. 2015); the default gain is the one for relu."""
    return _with_std(shape, distribution, gain / math.sqrt(max(_fan(shape, mode), 1)), dtype)


kaiming = he


def lecun(
    shape: Shape, distribution: str = "normal", mode: str = "fan_in", dtype: DType = float32
) -> np.ndarray:
    """Variance 1 / fan (LeCun et al. 1998): the one that selu wants."""
    return he(shape, distribution, mode, 1.0, dtype)


def orthogonal(shape: Shape, gain: float = 1.0, dtype: DType = float32) -> np.ndarray:
    """Orthonormal rows (or columns, if those are fewer) times gain (Saxe et al. 2013).

    Axes behind the first count as one.
    """
    sizes = _sizes(shape, "orthogonal")
    rows, columns = sizes[0], math.prod(sizes[1:])
    gaussian = host_generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform over rotations
    matrix = q if rows >= columns else q.T
    return np.ascontiguousarray(gain * matrix.reshape(sizes)).astype(as_dtype(dtype))


def whole_sizes(what: str, *sizes: Any) -> tuple[int, ...]:
    """The sizes of a layer, if they are whole numbers from 0. Raises ShapeError."""
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
            raise ShapeError(f"{what}: sizes are whole numbers from 0, not {size!r}")
    return tuple(map(int, sizes))


def _with_std(shape: Shape, distribution: str, std: float, dtype: DType) -> np.ndarray:
    if distribution == "normal":
        return normal(shape, 0.0, std, dtype)
    if distribution == "uniform":
        bound = math.sqrt(3.0) * std
        return uniform(shape, -bound, bound, dtype)
    raise ValueError(f"distribution is 'normal' or 'uniform', not {distribution!r}")


def _fan(shape: Shape, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', not {mode!r}")
    return _fans(shape)[mode == "fan_out"]


def _fans(shape: Shape) -> tuple[int, int]:
    sizes = _sizes(shape, "init")
    window = math.prod(sizes[2:])
    return sizes[1] * window, sizes[0] * window


def _sizes(shape: Any, name: str) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(sizes) < 2:
        raise ShapeError(f"{name}: expected a shape of two axes or more, got {list(sizes)}")
    return sizes
