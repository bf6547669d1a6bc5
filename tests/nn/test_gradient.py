"""sg.grad in both worlds: structure, checks, gradients of gradients."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.eager import Parameter, State, no_grad, tensor
from symgraph.errors import GradientError, GraphError, ShapeError
from symgraph.gradient import REQUEST, grad
from symgraph.graph import topological
from symgraph.ops.arithmetic import floor
from symgraph.ops.casting import stop_gradient
from symgraph.ops.elementary import tanh
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, input


def test_eager_gradients_can_be_differentiated_again():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    first = grad(sum_(x * x * x), x)
    second = grad(sum_(first), x)
    third = grad(sum_(second * x), x)
    np.testing.assert_allclose(first.numpy(), [3.0, 12.0, 27.0])
    np.testing.assert_allclose(second.numpy(), [6.0, 12.0, 18.0])
    np.testing.assert_allclose(third.numpy(), [12.0, 24.0, 36.0])
    assert x.grad is None


def test_eager_gradient_of_an_intermediate_value():
    x = tensor([0.5, -0.25], requires_grad=True)
    hidden = tanh(x)
    np.testing.assert_allclose(
        grad(sum_(hidden * hidden), hidden).numpy(), 2 * np.tanh([0.5, -0.25]), rtol=1e-6
    )


def test_the_structure_of_wrt_comes_back():
    x, w = input("x", ("batch", 4)), Parameter(np.ones(4, np.float32), "w")
    loss = sum_(tanh(x * w))
    found = grad(loss, {"both": [x, (w,)], "again": w})
    assert isinstance(found["both"], list) and isinstance(found["both"][1], tuple)
    assert found["both"][0].type == x.type and found["again"].type == w.type
    assert found["again"].node.op is REQUEST and found["again"].node.inputs == (loss.node, w.as_node())


def test_a_request_can_be_requested_again():
    x, w = input("x", ("batch", 4)), Parameter(np.ones(4, np.float32), "w")
    slope = grad(sum_(tanh(x * w)), x)
    second = grad(sum_(slope * slope), w)
    requests = [n for n in topological([second.node]) if n.op is REQUEST]
    assert len(requests) == 2 and second.type == w.type


def test_a_state_without_requires_grad_has_a_static_gradient_only():
    average = State("average", np.ones(3, np.float32))
    x = input("x", (3,))
    assert isinstance(grad(sum_(x * average), average), Symbol)
    with pytest.raises(GradientError, match="average: it was made with requires_grad=False"):
        grad(sum_(tensor(np.ones(3, np.float32), requires_grad=True) * average), average)


def test_a_broken_path_is_named():
    x, w = input("x", (4,)), Parameter(np.ones(4, np.float32), "weight")
    with pytest.raises(
        GradientError, match=r"(?s)weight: the path breaks at stop_gradient.*test_gradient\.py"
    ):
        grad(sum_(stop_gradient(w) * x), w)
    with pytest.raises(GradientError, match="weight: the loss does not depend on it"):
        grad(sum_(x), [x, w])
    assert grad(sum_(floor(w) * x), w).type == w.type


def test_an_eager_broken_path_is_named():
    w = Parameter(np.ones(4, np.float32), "weight")
    with no_grad():
        hidden = w * 2.0
    with pytest.raises(GradientError, match="no gradient for weight"):
        grad(sum_(hidden * tensor(np.ones(4, np.float32), requires_grad=True)), w)


@pytest.mark.parametrize(
    ("loss", "wrt", "error", "message"),
    [
        (lambda: input("x", (3,)), lambda: Parameter([1.0]), ShapeError, "reduce it first"),
        (lambda: 3.0, lambda: Parameter([1.0]), GradientError, "not float"),
        (lambda: sum_(input("x", (3,))), lambda: "w", GradientError, "wrt holds str"),
        (lambda: sum_(input("x", (3,))), lambda: input("n", (), np.int64), GradientError, "only float32"),
        (lambda: sum_(input("n", (3,), np.int32)), lambda: Parameter([1.0]), GradientError, "only float32"),
        (lambda: sum_(input("x", (3,))), lambda: tensor([1.0]), GraphError, "eager tensor"),
        (lambda: sum_(tensor([1.0])), lambda: input("x", ()), GraphError, "of a graph"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(loss, wrt, error, message):
    with pytest.raises(error, match=rf"(?s){message}.*test_gradient\.py"):
        grad(loss(), wrt())


def test_many_parameters_take_linear_time():
    x = input("x", (2,))
    weights = [Parameter(np.ones(2, np.float32), f"w{i}") for i in range(2000)]
    value = x
    for weight in weights:
        value = value * weight
    assert len(grad(sum_(value), weights)) == 2000
