"""Layers: what PyTorch's numbers cannot show - randomness, symbols, edges, initial weights."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph import nn
from symgraph.eager import no_grad, tensor
from symgraph.errors import InputError, ShapeError, StateError
from symgraph.graph import topological
from symgraph.nn import init
from symgraph.ops.phase import CARRY, PHASE
from symgraph.ops.reduce import sum_
from symgraph.random import seed
from symgraph.symbol import input


def states_of(value) -> set[str]:
    return {n.name for n in topological([value.node]) if n.op.name == "state"}


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_a_share(p):
    seed(3)
    layer = nn.Dropout(p)
    y = layer(np.ones((200, 500), np.float32)).numpy()
    share = np.mean(y == 0.0)
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / y.size)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_draws_anew_at_each_call_and_repeats_from_a_seed():
    x = np.ones((10, 10), np.float32)
    seed(1)
    layer = nn.Dropout(0.5)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    seed(1)
    again = nn.Dropout(0.5)
    np.testing.assert_array_equal(again(x).numpy(), first)
    np.testing.assert_array_equal(again(x).numpy(), second)


def test_dropout_goes_on_from_a_saved_random_state():
    x = np.ones((10, 10), np.float32)
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.3)))
    model(x)
    state = model.random_state()
    assert list(state) == [
        "0.generator.key",
        "0.generator.counter",
        "1.0.generator.key",
        "1.0.generator.counter",
    ]
    expected = model(x).numpy()
    other = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.3)))
    other.load_random_state(state)
    np.testing.assert_array_equal(other(x).numpy(), expected)
    with pytest.raises(StateError, match=r"expected \['0\.generator"):
        other.load_random_state({})
    with pytest.raises(StateError, match="expected int64"):
        other.load_random_state({key: np.float32(value) for key, value in state.items()})
    assert other[1][0].generator.counter.name == "1.0.rng_counter"


def test_two_dropouts_draw_different_masks():
    x = np.ones((20, 20), np.float32)
    assert not np.array_equal(nn.Dropout(0.5)(x).numpy(), nn.Dropout(0.5)(x).numpy())


def test_dropout_gradient_has_the_mask_of_the_forward_pass():
    x = tensor(np.ones((8, 8), np.float32), requires_grad=True)
    y = nn.Dropout(0.4)(x)
    sum_(y).backward()
    np.testing.assert_array_equal(x.grad, y.numpy())


def test_dropout_at_its_ends():
    x = np.array([[1.0, np.nan, np.inf]], np.float32)
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).numpy(), x)
    np.testing.assert_array_equal(nn.Dropout(1.0)(x).numpy(), np.zeros_like(x))
    np.testing.assert_array_equal(nn.Dropout(0.7).eval()(x).numpy(), x)
    np.testing.assert_array_equal(nn.dropout(x, 0.7, training=False).numpy(), x)
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="probability"):
            nn.Dropout(p)


def test_dropout_as_a_graph_leaves_the_choice_to_the_function():
    x = input("x", ("batch", 4))
    y = nn.Dropout(0.5)(x)
    assert y.node.op is PHASE and y.node.inputs[1] is x.node and y.type == x.type
    always = nn.dropout(x, 0.5)
    carries = [n for n in topological([always.node]) if n.op is CARRY]
    assert len(carries) == 1 and carries[0].attrs["always"]


def test_batch_norm_as_a_graph_carries_its_averages():
    layer = nn.BatchNorm(4)
    y = layer(input("x", ("batch", 4)))
    assert y.node.op is PHASE
    carried = [n.attrs["state"] for n in topological([y.node]) if n.op is CARRY]
    assert carried == [layer.running_mean, layer.running_var, layer.num_batches_tracked]
    assert not any(n.attrs["always"] for n in topological([y.node]) if n.op is CARRY)


def test_a_graph_built_under_no_grad_still_reads_its_parameters():
    with no_grad():
        layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm(4))
        flat = layers(input("x", ("batch", 4)))
        image = nn.BatchNorm(4)(input("x", ("batch", 4, 3, 3)))
        groups = nn.GroupNorm(2, 4)(input("x", ("batch", 4, 3)))
    expected = {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    assert expected <= states_of(flat)
    assert {"weight", "bias", "running_mean"} <= states_of(image)
    assert {"weight", "bias"} <= states_of(groups)


def test_batch_norm_is_right_at_a_large_mean():
    x = (np.random.default_rng(0).normal(size=(64, 3)) + 1e4).astype(np.float32)
    layer = nn.BatchNorm(3)
    y = layer(x).numpy()
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=3e-3)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * wide.var(0, ddof=1), rtol=1e-3)


def test_batch_norm_of_one_row_leaves_no_nan_behind():
    layer = nn.BatchNorm(2)
    y = layer(np.array([[3.0, -4.0]], np.float32)).numpy()
    np.testing.assert_array_equal(y, [[0.0, 0.0]])
    np.testing.assert_allclose(layer.running_var.numpy(), [0.9, 0.9], rtol=1e-6)
    np.testing.assert_allclose(layer.running_mean.numpy(), [0.3, -0.4], rtol=1e-6)


def test_empty_batches_have_empty_results():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.ReLU(), nn.Dropout(0.5)).eval()
    assert model(np.zeros((0, 3), np.float32)).shape == (0, 4)


def test_float64_layers():
    model = nn.Sequential(
        nn.Linear(3, 4, dtype=np.dtype(np.float64)), nn.BatchNorm(4, dtype=np.dtype(np.float64))
    )
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert model(x).dtype == np.float64
    assert model.eval()(x).dtype == np.float64
    assert model[1].running_mean.dtype == np.float32


def test_embedding_takes_rows_and_adds_up_their_gradients():
    layer = nn.Embedding(5, 3)
    y = layer(np.array([[1, 4], [1, 0]]))
    np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[[[1, 4], [1, 0]]])
    sum_(y).backward()
    np.testing.assert_array_equal(
        layer.weight.grad, np.repeat([[1.0], [2.0], [0.0], [0.0], [1.0]], 3, axis=1)
    )
    for wrong in (5, -1):
        with pytest.raises(InputError, match=r"Embedding\(5, 3\): an index is"):
            layer(np.array([0, wrong]))


def test_flatten():
    assert nn.Flatten()(input("x", ("batch", 3, 4))).shape[1] == 12
    assert nn.Flatten(0)(np.zeros((2, 3), np.float32)).shape == (6,)
    with pytest.raises(ShapeError, match="stands behind"):
        nn.Flatten(2, 1)(np.zeros((2, 3, 4), np.float32))


def test_initial_weights_repeat_from_a_seed():
    seed(5)
    first = nn.Linear(4, 3).state_dict()
    seed(5)
    second = nn.Linear(4, 3).state_dict()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert np.abs(first["weight"]).max() <= 0.5


@pytest.mark.parametrize(
    ("make", "std"),
    [
        (lambda s: init.he(s), np.sqrt(2 / 400)),
        (lambda s: init.he(s, "uniform", mode="fan_out"), np.sqrt(2 / 300)),
        (lambda s: init.xavier(s), np.sqrt(2 / 700)),
        (lambda s: init.xavier(s, "normal", gain=2.0), 2 * np.sqrt(2 / 700)),
        (lambda s: init.lecun(s), np.sqrt(1 / 400)),
        (lambda s: init.normal(s, std=0.3), 0.3),
        (lambda s: init.uniform(s, -1.0, 1.0), np.sqrt(1 / 3)),
    ],
)
def test_initial_weights_have_their_variance(make, std):
    seed(0)
    weights = make((300, 400))
    assert weights.dtype == np.float32
    assert abs(weights.std() / std - 1) < 0.01
    assert abs(weights.mean()) < 4 * std / np.sqrt(weights.size)


def test_fans_count_the_window():
    seed(0)
    assert abs(init.he((64, 32, 3, 3)).std() - np.sqrt(2 / (32 * 9))) < 2e-3


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3)])
def test_orthogonal(shape):
    matrix = init.orthogonal(shape, gain=2.0).reshape(shape[0], -1).astype(np.float64)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)


def test_wrong_arguments_of_init():
    with pytest.raises(ShapeError, match="two axes"):
        init.he((5,))
    with pytest.raises(ValueError, match="mode"):
        init.he((5, 4), mode="in")
    with pytest.raises(ValueError, match="distribution"):
        init.xavier((5, 4), "gaussian")
