"""fuse: how many kernels a graph becomes. The counts are goals of the design, so they are golden values."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from compiler.clusters import Cluster, Form
from compiler.driver import Options, lower
from compiler.llvm.target import Target
from compiler.lower.sweeps import plan_sweeps
from compiler.recipe import Lowered
from symgraph import nn
from symgraph.dimension import Dim, product
from symgraph.graph import Graph
from symgraph.symbol import node_of

X, G = sg.input("x", ("n", 64)), sg.input("g", ("n", 64))
LABELS = sg.input("labels", ("n",), sg.int64)
WEIGHT, BIAS = (nn.Parameter(np.ones(64, np.float32), name) for name in ("weight", "bias"))


def lowered(outputs, inputs=(X,), updates=None, **options) -> Lowered:
    graph = Graph(
        inputs=tuple(i.node for i in inputs),
        outputs=tuple(node_of(o) for o in outputs),
        updates=tuple((node_of(s), node_of(v)) for s, v in (updates or {}).items()),
    )
    return lower(graph, "f", [str(i) for i in range(len(outputs))], Options(**options), Target.host())


def large(function: Lowered) -> list[Cluster]:
    """Clusters over whole batches, not over one number a column or a scalar."""
    return [c for c in function.plan.clusters if isinstance(product(c.domain), Dim) and len(c.domain) > 1]


def gradients(y, *wanted):
    return sg.grad(sg.sum(y * G), list(wanted))


def by_hand(x):
    center = x - sg.mean(x, axis=1, keepdims=True)
    return center / sg.sqrt(sg.var(x, axis=1, keepdims=True) + 1e-5)


def softmax_by_hand(x):
    e = sg.exp(x - sg.max(x, axis=-1, keepdims=True))
    return e / sg.sum(e, axis=-1, keepdims=True)


ROWS = {
    "softmax": nn.softmax,
    "softmax by hand": softmax_by_hand,
    "log_softmax": nn.log_softmax,
    "layer norm": nn.layer_norm,
    "layer norm by hand": by_hand,
    "rms norm": nn.rms_norm,
    "logsumexp": lambda x: x - sg.logsumexp(x, axis=1, keepdims=True),
    "norm, dropout-like mask and residual": lambda x: sg.where(x > 0, nn.layer_norm(x), 0.0) * 2.0 + x,
}


@pytest.mark.parametrize("name", ROWS)
def test_one_kernel_forward_and_one_backward(name):
    y = ROWS[name](X)
    assert len(lowered([y]).steps) == 1
    assert len(lowered(gradients(y, X), (X, G)).steps) == 1
    assert len(lowered([y, *gradients(y, X)], (X, G)).steps) == 1


@pytest.mark.parametrize("norm", [nn.layer_norm, lambda x, w, b: nn.rms_norm(x, w) + b])
def test_gradients_of_the_affine_part_ride_along(norm):
    """One sweep over x; then a small kernel for each of dgamma and dbeta adds up the threads' parts."""
    function = lowered(gradients(norm(X, WEIGHT, BIAS), X, WEIGHT, BIAS), (X, G))
    assert len(function.plan.clusters) == 1
    assert len(function.steps) <= 3


def test_batch_norm_is_one_kernel_of_two_sweeps_each_way():
    y = nn.batch_norm(X, WEIGHT, BIAS)
    forward, backward = lowered([y]), lowered(gradients(y, X, WEIGHT, BIAS), (X, G))
    for function, most in ((forward, 2), (backward, 3)):
        (cluster,) = function.plan.clusters
        assert len(plan_sweeps(cluster, frozenset()).sweeps) <= most


def test_linear_batch_norm_relu_is_two_kernels_forward():
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.BatchNorm(64), nn.ReLU())
    training = lowered([model(X)], training=True)
    assert [c.form for c in large(training)] == [Form.CONTRACTION, Form.LOOP]
    assert [c.form for c in large(lowered([model(X)]))] == [Form.CONTRACTION]


def test_running_averages_cost_no_further_sweep():
    model = nn.BatchNorm(64)
    training = lowered([model(X)], training=True)
    assert len(large(training)) == 1


def test_elementwise_chains_are_one_kernel():
    y = sg.tanh(X * 2.0 + 1.0) * X
    assert len(lowered([y]).steps) == 1
    assert len(lowered([sg.sum(y)]).steps) == 1
    assert len(lowered([sg.sum(y, axis=1), y]).steps) == 1


def test_a_matrix_product_takes_bias_activation_and_residual_with_it():
    w = nn.Parameter(np.ones((64, 64), np.float32))
    function = lowered([nn.gelu(X @ w + BIAS) * 0.5 + X])
    assert [c.form for c in function.plan.clusters] == [Form.CONTRACTION]


def test_a_product_reads_through_a_transposition():
    w = nn.Parameter(np.ones((32, 64), np.float32))
    function = lowered([X @ w.T])
    assert len(function.plan.clusters) == 1


def test_views_cost_nothing():
    function = lowered([sg.reshape(sg.permute_dims(X[1:], (1, 0)), (-1,)) * 2.0])
    assert len(function.steps) == 1


def test_cross_entropy_and_its_gradient():
    loss = nn.cross_entropy(X, LABELS)
    assert len(large(lowered([loss], (X, LABELS)))) == 1
    assert len(large(lowered([sg.grad(loss, X)], (X, LABELS)))) == 1


def test_adam_is_one_kernel_after_the_gradient():
    w = nn.Parameter(np.ones((64, 64), np.float32), "w")
    updates = sg.optim.Adam(1e-3).minimize(sg.sum(sg.tanh(X @ w)), [w])
    function = lowered([], (X,), updates)
    sized = [c.form for c in function.plan.clusters if c.domain == (64, 64)]
    # The gradient is a product; moments and weight then change in one loop.
    assert sized == [Form.CONTRACTION, Form.LOOP]


def test_without_merging_every_node_is_a_kernel():
    function = lowered([sg.tanh(X * 2.0 + 1.0)], fuse=False)
    assert len(function.plan.clusters) == 3


def test_independent_values_of_one_size_stay_apart_unless_they_share_data():
    y = sg.input("y", ("n", 64))
    assert len(lowered([sg.exp(X), sg.exp(y)], (X, y)).plan.clusters) == 2
    assert len(lowered([sg.exp(X), sg.sin(X)]).plan.clusters) == 1


def test_a_cluster_never_depends_on_itself():
    """exp feeds a product whose result comes back to it: one kernel before the product, one with it."""
    w = nn.Parameter(np.ones((64, 64), np.float32))
    e = sg.exp(X)
    function = lowered([(e @ w) * e + sg.sum(e, axis=1, keepdims=True)])
    order = {node: i for i, c in enumerate(function.plan.clusters) for node in c.stored}
    for i, cluster in enumerate(function.plan.clusters):
        inside = set(cluster.nodes)
        reads = (operand for node in cluster.nodes for operand in node.inputs if operand not in inside)
        assert all(order.get(read, -1) < i for read in reads)


def test_two_normalizations_in_a_row_share_nothing_they_must_not():
    y = nn.layer_norm(nn.batch_norm(X))
    function = lowered([y])
    assert 1 <= len(large(function)) <= 2


def test_swapped_states_are_kept_aside():
    a, b = (sg.state(name, np.full((8,), value, np.float32)) for name, value in (("a", 1.0), ("b", 2.0)))
    f = sg.function([], updates={a: b, b: a})
    f()
    assert a.numpy().tolist() == [2.0] * 8 and b.numpy().tolist() == [1.0] * 8
    f()
    assert a.numpy().tolist() == [1.0] * 8


def test_a_parameter_is_updated_only_after_all_have_read_it():
    w = nn.Parameter(np.eye(4, dtype=np.float32) * 2.0, "w")
    x = sg.input("x", ("n", 4))
    hidden = x @ w
    loss = sg.sum(hidden @ w)
    step = sg.grad(loss, w)
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    old = w.numpy().astype(np.float64)
    f = sg.function([x], (loss, hidden @ w), updates={w: w - 0.1 * step})
    _, product_ = f(array)
    np.testing.assert_allclose(product_, array @ old @ old, rtol=1e-6)
    ones = np.ones((3, 4))
    expected = old - 0.1 * (array.T @ (ones @ old.T) + (array @ old).T @ ones)
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5)


IMAGE = sg.input("image", ("n", 3, 12, 12))
HELD = sg.input("held", ("n", 8, 6, 6))


def stored_images(function: Lowered) -> list[str]:
    """Values over a batch and more than one pixel that some kernel leaves in memory."""
    every = [node for cluster in function.plan.clusters for node in cluster.stored]
    return [f"{n.op.name} {n.type}" for n in every if isinstance(n.type.size, Dim) and n.type.rank == 4]


def test_a_pooling_normalizes_what_it_reads():
    """Convolution, statistics, pooling: of the image in between only the convolution is in memory."""
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    layer = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    training = lowered([layer(IMAGE)], (IMAGE,), training=True)
    assert stored_images(training) == ["convolution f32[n, 12, 12, 8]", "copy f32[n, 8, 6, 6]"]
    y = layer(IMAGE)
    loss = sg.sum(y * HELD)
    step = lowered(sg.grad(loss, layer.parameters()), (IMAGE, HELD), training=True)
    assert sum(text.endswith("[n, 12, 12, 8]") for text in stored_images(step)) == 2  # and its gradient


def test_a_window_that_overlaps_reads_what_was_stored():
    layer = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(3, 1))
    training = lowered([layer(IMAGE)], (IMAGE,), training=True)
    assert any(text.startswith("relu") for text in stored_images(training))


def test_pooling_and_what_follows_are_one_kernel():
    y = sg.tanh(nn.avg_pool2d(nn.conv2d(IMAGE, np.ones((8, 3, 3, 3), np.float32)), 2) * 2.0)
    assert [c.form for c in large(lowered([sg.sum(y)], (IMAGE,)))] == [Form.CONTRACTION, Form.LOOP]
