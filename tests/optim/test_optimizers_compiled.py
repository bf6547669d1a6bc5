"""Compiled optimizer steps against PyTorch's numbers, and slots that both worlds share."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_cases import CASES, REFERENCE

import symgraph as sg
from symgraph import nn, optim

STORED = dict(np.load(REFERENCE))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_compiled_steps_are_torchs(name):
    kind, options = CASES[name]
    parameter, optimizer = nn.Parameter(STORED["start"], "p"), getattr(optim, kind)(**options)
    g = sg.input("g", STORED["start"].shape)
    loss = sg.sum(parameter * g)
    step = sg.function([g], loss, updates=optimizer.minimize(loss, [parameter]))
    for gradient, expected in zip(STORED["gradients"], STORED[name], strict=True):
        step(gradient)
        close(parameter.numpy(), expected)


@pytest.mark.parametrize("name", ["dampening", "rmsprop_centered", "adamw_decay"])
def test_worlds_take_turns(name):
    kind, options = CASES[name]
    parameter, optimizer = nn.Parameter(STORED["start"], "p"), getattr(optim, kind)(**options)
    g = sg.input("g", STORED["start"].shape)
    loss = sg.sum(parameter * g)
    step = sg.function([g], loss, updates=optimizer.minimize(loss, [parameter]))
    for turn, (gradient, expected) in enumerate(zip(STORED["gradients"], STORED[name], strict=True)):
        if turn % 2:
            step(gradient)
        else:
            optimizer.minimize(sg.sum(parameter * sg.tensor(gradient)), [parameter])
        close(parameter.numpy(), expected)


def test_a_rate_in_a_state_changes_between_compiled_steps():
    rate = sg.state("rate", np.float32(0.5))
    parameter = nn.Parameter(np.zeros(3, np.float32), "p")
    g = sg.input("g", (3,))
    loss = sg.sum(parameter * g)
    step = sg.function([g], loss, updates=optim.SGD(rate).minimize(loss, [parameter]))
    step(np.ones(3, np.float32))
    np.testing.assert_array_equal(parameter.numpy(), [-0.5] * 3)
    rate.assign(np.float32(0.25))
    step(np.ones(3, np.float32))
    np.testing.assert_array_equal(parameter.numpy(), [-0.75] * 3)
