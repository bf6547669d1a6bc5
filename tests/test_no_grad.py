"""`no_grad` is about the tape: graphs written under it still read their parameters."""

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn


class Scaled(nn.Module):
    """A weight that is computed from parameters and a state alone."""

    def __init__(self):
        self.direction = nn.Parameter(np.ones((3, 2), np.float32))
        self.log_scale = nn.Parameter(np.zeros(2, np.float32))
        self.mask = sg.state("mask", np.ones((3, 2), np.float32))

    def forward(self, x):
        return x @ (self.direction * sg.exp(self.log_scale) * 2.0 * self.mask).reshape(3, 2)


def test_a_graph_written_under_no_grad_reads_its_parameters():
    x, model = sg.input("x", ("batch", 3)), Scaled()
    with sg.no_grad():
        f = sg.function([x], model(x))
    X = np.ones((4, 3), np.float32)
    np.testing.assert_allclose(f(X), np.full((4, 2), 6.0))
    model.direction.assign(np.full((3, 2), 3.0, np.float32))
    np.testing.assert_allclose(f(X), np.full((4, 2), 18.0))


def test_gradients_of_a_loss_written_under_no_grad():
    x, model = sg.input("x", ("batch", 3)), Scaled()
    with sg.no_grad():
        loss = sg.sum(model(x))
    gradient = sg.function([x], sg.grad(loss, model.direction))(np.ones((4, 3), np.float32))
    np.testing.assert_allclose(gradient, np.full((3, 2), 8.0))


def test_nothing_is_held_for_backward():
    w = nn.Parameter(np.ones((3, 2), np.float32), "w")
    x = sg.tensor(np.ones((4, 3), np.float32))
    with sg.no_grad():
        doubled = w * 2.0
        hidden = x @ doubled
        y = sg.sum(hidden + 1.0)
    assert not doubled.requires_grad and not y.requires_grad
    assert hidden.record is None and y.record is None  # no activation outlives its reader
    with pytest.raises(sg.GradientError, match="does not depend"):
        y.backward()


def test_a_value_whose_history_is_gone_is_no_constant_by_accident():
    w = nn.Parameter(np.ones(3, np.float32), "w")
    x = sg.input("x", (3,))
    with sg.no_grad():
        hidden = w * sg.tensor([1.0, 2.0, 3.0]) + 1.0
    with pytest.raises(sg.GraphError, match=r"under no_grad(.|\n)*at test_no_grad\.py"):
        sg.add(x, hidden)
    f = sg.function([x], x + hidden.detach())
    np.testing.assert_allclose(f(np.zeros(3, np.float32)), [2.0, 3.0, 4.0])
