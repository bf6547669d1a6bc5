"""Statistics of columns: as accurate as float32 allows, the same bits on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from compiler.lower import column_parts, column_sums
from symgraph import nn, optim
from symgraph.types import TensorType, as_shape, float32, float64, int64
from tests.random_check import check
from tests.random_program import Leaf, Line, Program

ROWS, COLUMNS = 2051, 150  # more than a cache, and whole of nothing
EPS = float(np.finfo(np.float32).eps)


def normal(*shape: int, offset: float = 0.0, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape) + offset
    return values.astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("rows, columns", [(10, 64), (100, 64), (961, 64), (5000, 64), (1_000_000, 4)])
def test_the_error_grows_neither_with_the_rows_nor_with_the_offset(rows, columns, offset):
    """E[d^2] - E[d]^2 loses a unit for each variance that the first row is away from the mean, squared."""
    array = normal(rows, columns, offset=offset)
    exact = array.astype(np.float64)
    mean, var = exact.mean(axis=0), exact.var(axis=0)
    far = 1.0 + np.square(exact[0] - mean) / var
    for extent in (rows, "n"):
        x = sg.input("x", (extent, columns))
        f = sg.function([x], (sg.mean(x, axis=0), sg.var(x, axis=0), sg.sum(x, axis=0)))
        means, variances, sums = f(array)
        assert np.all(np.abs(means - mean) <= EPS * np.abs(mean) + 4 * EPS * np.sqrt(far * var))
        assert np.all(np.abs(variances - var) <= 4 * EPS * far * var)
        assert np.all(np.abs(sums - exact.sum(axis=0)) <= 4 * EPS * np.abs(exact).sum(axis=0))


def batch_norm_gradients(threads: int, rows: int = ROWS) -> sg.Function:
    x, upstream = sg.input("x", (rows, COLUMNS)), sg.input("upstream", (rows, COLUMNS))
    gamma, beta = sg.input("gamma", (COLUMNS,)), sg.input("beta", (COLUMNS,))
    y = nn.batch_norm(x, gamma, beta)
    gradients = sg.grad(sg.sum(y * upstream), [x, gamma, beta])
    return sg.function([x, gamma, beta, upstream], [y, *gradients], threads=threads)


def test_gradients_of_a_large_batch_norm():
    x, upstream = normal(ROWS, COLUMNS, offset=3.0), normal(ROWS, COLUMNS, seed=1)
    gamma, beta = normal(COLUMNS, seed=2), normal(COLUMNS, seed=3)
    function = batch_norm_gradients(1)
    assert len(function.report().launches) <= 3
    wide, g = x.astype(np.float64), upstream.astype(np.float64)
    scale = 1.0 / np.sqrt(wide.var(axis=0) + 1e-5)
    normalized = (wide - wide.mean(axis=0)) * scale
    along = (g * normalized).mean(axis=0)
    dx = gamma * scale * (g - g.mean(axis=0) - normalized * along)
    exact = (normalized * gamma + beta, dx, (g * normalized).sum(axis=0), g.sum(axis=0))
    for found, value in zip(function(x, gamma, beta, upstream), exact, strict=True):
        size = np.sqrt(np.mean(np.square(value)))
        np.testing.assert_allclose(found, value, rtol=16 * EPS, atol=16 * EPS * size)


def test_gradients_of_a_large_batch_norm_on_any_number_of_threads():
    arrays = (normal(ROWS, COLUMNS), normal(COLUMNS), normal(COLUMNS), normal(ROWS, COLUMNS, seed=1))
    alone, *others = (batch_norm_gradients(threads)(*arrays) for threads in (1, 2, 3))
    for other in others:
        for found, expected in zip(other, alone, strict=True):
            np.testing.assert_array_equal(found, expected)


def training_step(threads: int) -> list[np.ndarray]:
    """Two steps of a norm whose weights are overwritten by the kernels that read them."""
    layer, x = nn.BatchNorm(COLUMNS), sg.input("x", ("n", 8, COLUMNS))
    loss = sg.mean(sg.square(layer(sg.reshape(x, (-1, COLUMNS))) - 0.5))
    updates = optim.SGD(0.1).minimize(loss, layer.parameters())
    step = sg.function([x], loss, updates=updates, training=True, threads=threads)
    losses = [step(normal(ROWS // 8, 8, COLUMNS, seed=seed, offset=5.0)) for seed in range(2)]
    return [*losses, *(np.asarray(value) for value in layer.state_dict().values())]


def test_a_training_step_on_two_threads_and_in_the_eager_world():
    alone, together = training_step(1), training_step(2)
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(found, expected)
    layer = nn.BatchNorm(COLUMNS)
    optimizer = optim.SGD(0.1)
    for seed in range(2):
        x = sg.tensor(normal(ROWS // 8, 8, COLUMNS, seed=seed, offset=5.0).reshape(-1, COLUMNS))
        loss = sg.mean(sg.square(layer(x) - 0.5))
        layer.zero_grad()
        loss.backward()
        optimizer.step(layer.parameters())
    for found, state in zip(alone[2:], layer.state_dict().values(), strict=True):
        np.testing.assert_allclose(found, np.asarray(state), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [40, ROWS])
@pytest.mark.parametrize("place", [0, 17])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_an_infinity_in_a_column_is_in_its_mean(rows, place, bad):
    array = normal(rows, COLUMNS)
    array[place, 1] = bad
    x = sg.input("x", (rows, COLUMNS))
    mean, var = sg.function([x], (sg.mean(x, axis=0), sg.var(x, axis=0)))(array)
    np.testing.assert_array_equal(mean[1], bad)
    assert np.isnan(var[1])
    assert np.isfinite(np.delete(mean, 1)).all() and np.isfinite(np.delete(var, 1)).all()


PROGRAMS = {
    "extremes beside sums": (
        [("n", 3, 17)], ["sg.max(x0, axis=0) + sg.sum(x0, axis=0) + sg.prod(x0, axis=0)"]),
    "rows of two axes": (
        [(9, 5, 17), (5, 17)], ["x0 * x1", "v0 - sg.mean(v0, axis=(0, 1), keepdims=True)"]),
    "statistics between kept axes": ([(3, "n", 17)], ["x0 - sg.mean(x0, axis=1, keepdims=True)"]),
    "exponentials kept between sweeps": (
        [("n", 40)], ["nn.softmax(x0, axis=0)", "nn.log_softmax(v0, axis=0)"]),
    "a table in a column's kernel": (
        [(5, 17), TensorType((9,), int64)], ["sg.take(x0, x1, axis=0)", "sg.sum(v0 * v0, axis=0)"]),
    "a result that nothing reads": (
        [(7, 7)], ["x0 @ x0", "sg.std(v0, axis=0, keepdims=True)", "sg.var(x0, axis=0)"]),
    "batch norm with weights": ([("n", 33), (33,), (33,)], ["nn.batch_norm(x0, x1, x2)", "nn.relu(v0)"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, float32) for name in PROGRAMS), ("batch norm with weights", float64)]
)
def test_small_programs_as_if_they_were_large(name, dtype, monkeypatch):
    monkeypatch.setattr(column_parts, "IN_CACHE", 0)
    monkeypatch.setattr(column_parts, "LEAST_ROWS", 0)
    monkeypatch.setattr(column_sums, "BLOCK", 16)
    shapes, texts = PROGRAMS[name]
    types = [s if isinstance(s, TensorType) else TensorType(as_shape(s), dtype) for s in shapes]
    leaves = tuple(Leaf(f"x{i}", "input", kind) for i, kind in enumerate(types))
    lines = tuple(Line(f"v{i}", text, TensorType((), dtype)) for i, text in enumerate(texts))
    outputs = tuple(line.name for line in lines)
    sizes = ({"n": 1}, {"n": 7}, {"n": 65})
    program = Program(4, leaves, lines, outputs, outputs[-1:], ("x0",), sizes=sizes)
    assert not check(program, interpreted=True)
