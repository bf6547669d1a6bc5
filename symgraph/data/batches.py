"""Minibatches of arrays that belong together row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symgraph.errors import InputError
from symgraph.random import host_generator


class Batches:
    """An iterable of tuples of arrays, `size` rows each; every pass over it shuffles anew.

    `len` is the number of batches in a pass. The last one is smaller where `size` does not divide the rows,
    or left out with drop_last. Rows are copied when shuffled, views otherwise.
    """

    def __init__(self, arrays: Sequence[np.ndarray], size: int, shuffle: bool, seed: Any, drop_last: bool):
        self.arrays = tuple(arrays)
        self.size = size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self._generator = None if seed is None else np.random.Generator(np.random.Philox(seed))

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    def __len__(self) -> int:
        return self.rows // self.size if self.drop_last else -(-self.rows // self.size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        order = self._order() if self.shuffle else None
        for start in range(0, len(self) * self.size, self.size):
            rows = slice(start, start + self.size)
            yield tuple(array[rows if order is None else order[rows]] for array in self.arrays)

    def _order(self) -> np.ndarray:
        generator = host_generator() if self._generator is None else self._generator
        return generator.permutation(self.rows)

    def __repr__(self) -> str:
        return f"<{len(self)} batches of {self.size} of {self.rows} rows>"


def batches(
    *arrays: Any, size: int, shuffle: bool = False, seed: int | None = None, drop_last: bool = False
) -> Batches:
    """Minibatches along the first axis: `for x, y in sg.data.batches(X, Y, size=64, shuffle=True, seed=0)`.

    With a seed the passes repeat from run to run; without one they follow `sg.seed`. Raises InputError
    if the arrays have different numbers of rows or there is none.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"batches: size is a whole number from 1, not {size!r}")
    return Batches(_aligned("batches", arrays), int(size), shuffle, seed, drop_last)


def split(
    *arrays: Any, fraction: float = 0.8, seed: int | None = None, shuffle: bool = True
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Two parts of the rows: `(x, y), (x_test, y_test) = sg.data.split(X, Y, fraction=0.8, seed=0)`.

    The first gets round(fraction * rows) rows; all are copied. Rows keep their order with shuffle=False.
    """
    checked = _aligned("split", arrays)
    if not 0.0 <= fraction <= 1.0:
        raise InputError(f"split: fraction is a number from 0 to 1, not {fraction!r}")
    rows = len(checked[0])
    generator = host_generator() if seed is None else np.random.Generator(np.random.Philox(seed))
    order = generator.permutation(rows) if shuffle else np.arange(rows)
    count = round(fraction * rows)
    first, second = order[:count], order[count:]
    return tuple(a[first] for a in checked), tuple(a[second] for a in checked)


def _aligned(name: str, arrays: Sequence[Any]) -> tuple[np.ndarray, ...]:
    if not arrays:
        raise InputError(f"{name}: expected at least one array")
    made = tuple(_as_array(name, position, array) for position, array in enumerate(arrays))
    for position, array in enumerate(made):
        if array.ndim == 0:
            raise InputError(f"{name}: array {position} has no axes, so it has no rows")
        if array.dtype == object:
            raise InputError(f"{name}: array {position} holds Python objects, expected numbers")
    rows = [len(array) for array in made]
    if len(set(rows)) > 1:
        raise InputError(f"{name}: the arrays have different numbers of rows, {rows}")
    return made


def _as_array(name: str, position: int, array: Any) -> np.ndarray:
    try:
        return np.asarray(array)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name}: array {position}: {error}") from None
