"""What all optimizers share: both worlds, slots, saving, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph import nn, optim
from symgraph.eager import Parameter, State
from symgraph.errors import DTypeError, GradientError, ShapeError, StateError
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, input

ALL = [
    lambda: optim.SGD(0.1),
    lambda: optim.SGD(0.1, momentum=0.9, dampening=0.5),
    lambda: optim.RMSProp(0.01, momentum=0.9, centered=True),
    lambda: optim.Adam(0.01),
    lambda: optim.AdamW(0.01),
]


def quadratic(model: nn.Module, x) -> Symbol:
    y = model(x)
    return sum_(y * y)


@pytest.mark.parametrize("make", ALL)
def test_static_updates_name_every_parameter_and_slot(make):
    model, optimizer = nn.Linear(3, 2), make()
    updates = optimizer.minimize(quadratic(model, input("x", ("batch", 3))), model.parameters())
    count = 2 * (1 + len(optimizer.slots)) + optimizer.counts_steps
    assert len(updates) == count
    for state, value in updates.items():
        assert isinstance(state, State) and isinstance(value, Symbol)
        assert value.type == state.type


@pytest.mark.parametrize("make", ALL)
def test_both_worlds_share_slots(make):
    model, optimizer = nn.Linear(3, 2), make()
    static = optimizer.minimize(quadratic(model, input("x", ("batch", 3))), model.parameters())
    optimizer.minimize(quadratic(model, np.ones((2, 3), np.float32)), model.parameters())
    again = optimizer.minimize(quadratic(model, input("x", ("batch", 3))), model.parameters())
    assert list(map(id, static)) == list(map(id, again))


@pytest.mark.parametrize("make", ALL)
def test_training_goes_on_from_a_saved_state(make):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.minimize(quadratic(model, x), model.parameters())

    model, optimizer = nn.Linear(3, 2), make()
    train(model, optimizer, 3)
    other, fresh = nn.Linear(3, 2), make()
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(optimizer.state_dict(), other.parameters())
    train(model, optimizer, 3)
    train(other, fresh, 3)
    np.testing.assert_array_equal(model.weight.numpy(), other.weight.numpy())
    np.testing.assert_array_equal(model.bias.numpy(), other.bias.numpy())


def test_keys_of_the_state_dict():
    model, optimizer = nn.Sequential(nn.Linear(3, 2)), optim.Adam()
    optimizer.minimize(quadratic(model, np.ones((2, 3), np.float32)), model.parameters())
    assert list(optimizer.state_dict()) == ["step", "0.weight.m", "0.weight.v", "0.bias.m", "0.bias.v"]
    assert optimizer.state_dict()["step"] == 1


def test_parameters_of_one_name_keep_apart():
    first, second = Parameter([1.0], "w"), Parameter([2.0], "w")
    optimizer = optim.SGD(0.1, momentum=0.9)
    optimizer.minimize(sum_(first * second), [first, second])
    saved = optimizer.state_dict()
    assert saved["w.momentum"] == 2.0 and saved["w.momentum#2"] == 1.0


def test_loading_lists_every_difference():
    model, optimizer = nn.Linear(3, 2), optim.Adam()
    with pytest.raises(StateError, match="met no parameters yet"):
        optimizer.load_state_dict({"step": np.zeros((), np.int64)})
    optimizer.minimize(quadratic(model, np.ones((2, 3), np.float32)), model.parameters())
    state = optimizer.state_dict()
    del state["bias.v"]
    state["weight.m"] = state["weight.m"][:1]
    state["other"] = np.zeros(1)
    with pytest.raises(StateError) as caught:
        optimizer.load_state_dict(state)
    for part in ("bias.v: missing", "weight.m: expected float32[2, 3]", "other: not a slot"):
        assert part in str(caught.value)


def test_parameters_met_later_count_their_own_steps():
    first, second = Parameter([1.0], "a"), Parameter([2.0], "b")
    optimizer = optim.Adam(0.1)
    optimizer.minimize(sum_(first * first), [first])
    optimizer.minimize(sum_(first * second), [first, second])
    assert optimizer.state_dict()["step"] == 2 and optimizer.state_dict()["step#2"] == 1
    # Adam's first step is lr times the sign of the gradient.
    np.testing.assert_allclose(second.numpy(), [1.9], rtol=1e-6)


def test_an_unused_parameter_is_named():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    for x in (input("x", ("batch", 3)), np.ones((2, 3), np.float32)):
        with pytest.raises(GradientError, match=r"1\.weight"):
            optim.SGD().minimize(quadratic(model[0], x), model.parameters())


def test_frozen_parameters_stay():
    model = nn.Linear(3, 2)
    model.weight.requires_grad = False
    updates = optim.SGD().minimize(quadratic(model, input("x", ("batch", 3))), model.parameters())
    assert list(updates) == [model.bias]


def test_step_leaves_out_what_has_no_gradient():
    used, unused = Parameter([1.0], "a"), Parameter([2.0], "b")
    sum_(used * used).backward()
    optim.SGD(0.5).step([used, unused])
    assert used.item() == 0.0 and unused.item() == 2.0


def test_the_rate_may_be_an_input():
    model, rate = nn.Linear(3, 2), input("rate", ())
    for optimizer in (optim.SGD(rate), optim.AdamW(rate), optim.RMSProp(rate)):
        updates = optimizer.minimize(quadratic(model, input("x", ("batch", 3))), model.parameters())
        assert all(value.type == state.type for state, value in updates.items())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD(-0.1), ValueError, "lr"),
        (lambda: optim.SGD(float("nan")), ValueError, "lr"),
        (lambda: optim.SGD(input("r", (2,))), ShapeError, "scalar"),
        (lambda: optim.SGD(input("r", (), np.int64)), DTypeError, "float"),
        (lambda: optim.SGD(0.1, nesterov=True), ValueError, "nesterov"),
        (lambda: optim.Adam(betas=(1.0, 0.9)), ValueError, "beta1"),
        (lambda: optim.Adam().step([]), ValueError, "none to learn"),
        (lambda: optim.Adam().step(Parameter([1.0])), TypeError, "iterable"),
        (lambda: optim.Adam().step([np.ones(3)]), TypeError, "ndarray"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
