"""Making values that are not computed: constants, states, and filled or random eager tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.eager import State, Tensor, aligned_copy
from symgraph.random import host_generator
from symgraph.symbol import Symbol
from symgraph.types import as_dtype, float32
from symgraph.value import as_array


def constant(array: Any, dtype: Any = None) -> Symbol:
    """An array in a graph, copied now."""
    return Symbol.lift(as_array(array, as_dtype(dtype) if dtype is not None else None))


def state(name: str, array: Any) -> State:
    """Named storage that compiled functions can update; `p.numpy()` copies it, `p.assign(array)` fills it."""
    return State(name, array)


def _filled(shape: tuple[Any, ...], value: float, dtype: Any, requires_grad: bool) -> Tensor:
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    return _tensor(np.full(shape, value, as_dtype(dtype)), requires_grad)


def _tensor(array: np.ndarray, requires_grad: bool) -> Tensor:
    return Tensor(aligned_copy(array), requires_grad)


def zeros(*shape: Any, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """An eager tensor of zeros: `sg.zeros(3, 4)`."""
    return _filled(shape, 0, dtype, requires_grad)


def ones(*shape: Any, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """An eager tensor of ones: `sg.ones(3, 4)`."""
    return _filled(shape, 1, dtype, requires_grad)


def randn(*shape: int, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """An eager tensor of standard normal numbers, under `sg.seed`."""
    return _tensor(host_generator().standard_normal(shape).astype(as_dtype(dtype)), requires_grad)


def rand(*shape: int, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """An eager tensor of uniform numbers in [0, 1), under `sg.seed`."""
    return _tensor(host_generator().random(shape).astype(as_dtype(dtype)), requires_grad)
