"""Minibatches and splits."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.data import batches, split
from symgraph.errors import InputError
from symgraph.random import seed

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


def test_in_order():
    found = list(batches(X, Y, size=4))
    assert [len(y) for _, y in found] == [4, 4, 2] and len(batches(X, Y, size=4)) == 3
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), X)


def test_drop_last():
    loader = batches(X, Y, size=4, drop_last=True)
    assert [len(y) for _, y in loader] == [4, 4] and len(loader) == 2
    assert list(batches(X, size=11, drop_last=True)) == []


def test_shuffling_keeps_rows_together_and_differs_by_pass():
    loader = batches(X, Y, size=3, shuffle=True, seed=0)
    passes = [list(loader) for _ in range(2)]
    for found in passes:
        for x, y in found:
            np.testing.assert_array_equal(x[:, 0], 2 * y)
        assert sorted(np.concatenate([y for _, y in found])) == list(range(10))
    first, second = (np.concatenate([y for _, y in found]) for found in passes)
    assert not np.array_equal(first, second)


def test_a_seed_repeats():
    def order(**options):
        return np.concatenate([y for (y,) in batches(Y, size=3, shuffle=True, **options)])

    np.testing.assert_array_equal(order(seed=4), order(seed=4))
    assert not np.array_equal(order(seed=4), order(seed=5))
    seed(1)
    first = order()
    seed(1)
    np.testing.assert_array_equal(order(), first)


def test_no_rows():
    assert list(batches(X[:0], size=4)) == []


def test_split():
    (x, y), (x_test, y_test) = split(X, Y, fraction=0.7, seed=0)
    assert len(y) == 7 and len(y_test) == 3
    assert sorted([*y, *y_test]) == list(range(10))
    np.testing.assert_array_equal(np.concatenate([x, x_test])[:, 0], 2 * np.concatenate([y, y_test]))
    (plain,), (rest,) = split(Y, fraction=0.8, shuffle=False)
    np.testing.assert_array_equal(np.concatenate([plain, rest]), Y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batches(X, Y[:5], size=2), r"rows, \[10, 5\]"),
        (lambda: batches(size=2), "at least one"),
        (lambda: batches(X, size=0), "whole number"),
        (lambda: batches(X, size=2.5), "whole number"),
        (lambda: batches(np.float32(1), size=2), "no axes"),
        (lambda: batches(np.array([None, 1]), size=2), "objects"),
        (lambda: split(X, fraction=1.5), "fraction"),
        (lambda: split(X, Y[:3]), "rows"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(InputError, match=message):
        call()
