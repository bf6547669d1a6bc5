"""Every optimizer against PyTorch's numbers (optimizer_reference.npz, made by optimizer_cases.py)."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_cases import CASES, REFERENCE

from symgraph import optim
from symgraph.eager import Parameter, State, tensor
from symgraph.ops.reduce import sum_

STORED = dict(np.load(REFERENCE))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def make(name: str, **changes):
    kind, options = CASES[name]
    return getattr(optim, kind)(**{**options, **changes})


@pytest.mark.parametrize("name", CASES)
def test_minimize_takes_torchs_steps(name):
    parameter = Parameter(STORED["start"])
    optimizer = make(name)
    for gradient, expected in zip(STORED["gradients"], STORED[name], strict=True):
        loss = sum_(parameter * tensor(gradient))
        assert optimizer.minimize(loss, [parameter]) == {}
        close(parameter.numpy(), expected)


@pytest.mark.parametrize("name", CASES)
def test_step_takes_torchs_steps(name):
    parameter = Parameter(STORED["start"])
    optimizer = make(name)
    for gradient, expected in zip(STORED["gradients"], STORED[name], strict=True):
        optimizer.zero_grad([parameter])
        sum_(parameter * tensor(gradient)).backward()
        optimizer.step([parameter])
        close(parameter.numpy(), expected)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "rmsprop", "adam", "adamw_decay"])
def test_the_rate_may_be_a_state(name):
    rate = State("rate", np.float32(CASES[name][1]["lr"]))
    parameter, fixed = Parameter(STORED["start"]), Parameter(STORED["start"])
    moving, constant = make(name, lr=rate), make(name)
    for gradient in STORED["gradients"]:
        for optimizer, value in ((moving, parameter), (constant, fixed)):
            optimizer.minimize(sum_(value * tensor(gradient)), [value])
    np.testing.assert_allclose(parameter.numpy(), fixed.numpy(), rtol=1e-6)
    rate.assign(np.float32(0.0))
    before = parameter.numpy()
    moving.minimize(sum_(parameter * tensor(STORED["gradients"][0])), [parameter])
    np.testing.assert_array_equal(parameter.numpy(), before)
