"""The same layers in the static world: compiled results against PyTorch's numbers and against eager mode."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import CASES, REFERENCE

import symgraph as sg
from symgraph import nn, optim
from symgraph.api import function_of

STORED = dict(np.load(REFERENCE))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=4e-6 * max(1.0, np.abs(expected).max()))


def stored(name: str, part: str) -> dict[str, np.ndarray]:
    prefix = f"{name}/{part}/"
    return {key.removeprefix(prefix): value for key, value in STORED.items() if key.startswith(prefix)}


@pytest.mark.parametrize("name", CASES)
def test_forward_and_gradients(name):
    layer = CASES[name][0](nn)
    layer.load_state_dict(stored(name, "state"))
    expected_x, expected_g = STORED[f"{name}/x"], STORED[f"{name}/g"]
    x = sg.input("x", ("batch", *expected_x.shape[1:]))
    g = sg.input("g", ("batch", *expected_g.shape[1:]))
    y = layer(x)
    named = dict(layer.named_parameters())
    gradients = sg.grad(sg.sum(y * g), {"x": x, "parameters": named})
    run = sg.function([x, g], {"y": y, "gradients": gradients}, training=True)
    found = run(expected_x, expected_g)
    close(found["y"], STORED[f"{name}/y"])
    close(found["gradients"]["x"], STORED[f"{name}/dx"])
    for key, expected in stored(name, "d").items():
        close(found["gradients"]["parameters"][key], expected)


@pytest.mark.parametrize("name", [n for n in CASES if f"{n}/inference" in STORED])
def test_moving_averages_and_inference(name):
    layer = CASES[name][0](nn)
    layer.load_state_dict(stored(name, "state"))
    sample = STORED[f"{name}/x"]
    x = sg.input("x", ("batch", *sample.shape[1:]))
    y = layer(x)
    train, predict = sg.function([x], y, training=True), sg.function([x], y)
    for batch in (sample, sample * 2.0 - 1.0, sample - 0.5):
        train(batch.astype(np.float32))
    found = layer.state_dict()
    for key, expected in stored(name, "after").items():
        close(found[key], expected)
    close(predict(sample), STORED[f"{name}/inference"])
    assert all(np.array_equal(found[key], value) for key, value in layer.state_dict().items())


def test_dropout_draws_the_same_masks_in_both_worlds():
    x = sg.input("x", ("batch", 16))
    sg.seed(7)
    compiled = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.5))
    sg.seed(7)
    eager = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.5))
    run = sg.function([x], compiled(x), training=True)
    for rows in (5, 3, 5):
        batch = np.random.default_rng(rows).normal(size=(rows, 16)).astype(np.float32)
        np.testing.assert_array_equal(run(batch), eager(batch).numpy())
    np.testing.assert_array_equal(sg.function([x], compiled(x))(batch), batch)


def test_functional_dropout_is_always_on_and_draws_anew():
    sg.seed(2)
    x = sg.input("x", ("batch", 64))
    run = sg.function([x], nn.dropout(x, 0.5))
    ones = np.ones((4, 64), np.float32)
    first, second = run(ones), run(ones)
    assert set(np.unique(first)) == {0.0, 2.0} and not np.array_equal(first, second)


def test_embedding_and_its_gradient():
    layer = nn.Embedding(6, 4)
    rows = sg.input("rows", ("batch", 3), sg.int64)
    run = sg.function([rows], (layer(rows), sg.grad(sg.sum(layer(rows) ** 2), layer.weight)))
    taken = np.array([[0, 5, 5], [2, 5, 0]])
    y, slope = run(taken)
    weight = layer.weight.numpy()
    np.testing.assert_array_equal(y, weight[taken])
    expected = np.zeros_like(weight)
    np.add.at(expected, taken, 2 * weight[taken])
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def model_of(seed: int) -> nn.Module:
    sg.seed(seed)
    return nn.Sequential(
        nn.Linear(8, 16, bias=False), nn.BatchNorm(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
    )


def test_training_agrees_step_by_step():
    compiled, eager = model_of(3), model_of(3)
    x, y = sg.input("x", ("batch", 8)), sg.input("y", ("batch",), sg.int64)
    loss = nn.cross_entropy(compiled(x), y)
    first, second = optim.Adam(1e-2), optim.Adam(1e-2)
    step = sg.function([x, y], loss, updates=first.minimize(loss, compiled.parameters()), training=True)
    generator = np.random.default_rng(0)
    for _ in range(20):
        batch = generator.normal(size=(12, 8)).astype(np.float32)
        labels = generator.integers(0, 3, 12)
        expected = nn.cross_entropy(eager(batch), labels)
        second.minimize(expected, eager.parameters())
        np.testing.assert_allclose(step(batch, labels), expected.numpy(), rtol=1e-4)
    for key, value in eager.state_dict().items():
        np.testing.assert_allclose(compiled.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_a_module_called_twice_carries_its_state_through_both_calls():
    compiled, eager = model_of(5), model_of(5)
    x, z = sg.input("x", ("batch", 8)), sg.input("z", ("other", 8))
    run = sg.function([x, z], (compiled(x), compiled(z)), training=True)
    generator = np.random.default_rng(4)
    for _ in range(3):
        first, second = (generator.normal(size=(rows, 8)).astype(np.float32) for rows in (6, 9))
        for found, expected in zip(run(first, second), (eager(first), eager(second)), strict=True):
            close(found, expected.numpy())
    for key, value in eager.state_dict().items():
        close(compiled.state_dict()[key], value)
    for key, value in eager.random_state().items():
        np.testing.assert_array_equal(compiled.random_state()[key], value)


def test_gradient_penalty_agrees():
    sg.seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1))
    batch = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)

    def penalty(x):
        slope = sg.grad(sg.sum(model(x)), x)
        return sg.mean((sg.sqrt(sg.sum(slope * slope, axis=1)) - 1.0) ** 2)

    learnt = model.parameters()[:5]  # the last bias has no part in the slope
    x = sg.input("x", ("batch", 3))
    found = sg.function([x], sg.grad(penalty(x), learnt))(batch)
    expected = sg.grad(penalty(sg.tensor(batch, requires_grad=True)), learnt)
    for left, right in zip(found, expected, strict=True):
        close(left, right.numpy())


@pytest.mark.parametrize("fuse", [True, False])
def test_batch_norm_over_rows_that_no_cache_holds(fuse: bool) -> None:
    """The last sweep stores the output and, once its parts are done, the moving averages."""
    rows, channels = 40_000, 64
    values = np.random.default_rng(3).standard_normal((rows, channels)).astype(np.float32) * 2 + 5
    x, layer = sg.input("x", values.shape), nn.BatchNorm(channels)
    step = sg.function([x], layer(x), training=True)
    if not fuse:
        step = function_of(step.graph, layer(x), training=True, fuse=False)
    found = step(values)
    wide = values.astype(np.float64)
    mean, variance = wide.mean(0), wide.var(0)
    np.testing.assert_allclose(found, (wide - mean) / np.sqrt(variance + 1e-5), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean, rtol=1e-5)
    unbiased = 0.9 + 0.1 * variance * rows / (rows - 1)
    np.testing.assert_allclose(layer.running_var.numpy(), unbiased, rtol=1e-5)
