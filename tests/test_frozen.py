"""frozen=True: states are constants, folded into the weights before them and packed in advance."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim
from symgraph.errors import GraphError

RNG = np.random.default_rng(0)


def network() -> nn.Module:
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    model = nn.Sequential(*layers)
    for state in model.parameters():
        state.assign(RNG.standard_normal(state.shape).astype(np.float32))
    return model


def test_a_frozen_function_agrees_and_batch_norm_is_gone():
    model, x = network(), sg.input("x", ("batch", 3, 6, 6))
    image = RNG.standard_normal((5, 3, 6, 6)).astype(np.float32)
    plain, frozen = (sg.function([x], model(x), frozen=flag) for flag in (False, True))
    np.testing.assert_allclose(frozen(image), plain(image), rtol=1e-4, atol=1e-4)
    assert "rsqrt" not in str(frozen.report()) and "divide" not in str(frozen.report())


def test_later_changes_are_not_seen():
    p, x = sg.state("p", np.ones(3, np.float32)), sg.input("x", (3,))
    frozen, plain = sg.function([x], x * p, frozen=True), sg.function([x], x * p)
    p.assign(np.full(3, 2, np.float32))
    ones = np.ones(3, np.float32)
    assert frozen(ones).tolist() == [1, 1, 1] and plain(ones).tolist() == [2, 2, 2]
    assert sg.function([x], x * p, frozen=True)(ones).tolist() == [2, 2, 2], "other weights, another function"


@pytest.mark.parametrize("settings", [{"training": True}, {"updates": True}])
def test_what_changes_states_cannot_be_frozen(settings):
    p, x = nn.Parameter(np.ones(3, np.float32)), sg.input("x", (3,))
    loss = sg.sum(x * p)
    if settings.pop("updates", False):
        settings["updates"] = optim.SGD(0.1).minimize(loss, [p])
    with pytest.raises(GraphError, match="frozen function takes states as constants"):
        sg.function([x], loss, frozen=True, **settings)
