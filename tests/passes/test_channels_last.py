"""Memory in channels-last order: permutations cancel around convolutions, poolings, norms and a flatten."""

import numpy as np
import pytest
from pass_text import becomes, graph_of

import symgraph as sg
from compiler import pipeline
from compiler.driver import Options, lower
from compiler.llvm.target import Target
from compiler.passes.axis_groups import AxisGroup, axis_groups, reshaped_order
from compiler.passes.channels_last import channels_last
from compiler.passes.flatten_products import flatten_products
from compiler.passes.narrow_convolutions import narrow_convolutions
from symgraph import nn, optim, reference
from symgraph.dimension import Dim
from symgraph.graph import Graph
from symgraph.ops.convolution import convolution
from symgraph.ops.layout import PERMUTE, static_slice
from symgraph.symbol import node_of

X = sg.input("x", ("n", 2, 5, 5))
Y = sg.input("y", ("n", 4, 5, 5))
W = sg.input("w", (4, 2, 3, 3))
RNG = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def agrees(before: Graph, after: Graph, *arrays: np.ndarray) -> None:
    for old, new in zip(reference.run(before, arrays), reference.run(after, arrays), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)


def permutes(graph: Graph) -> list[str]:
    return [str(n.type) for n in graph.nodes if n.op is PERMUTE]


def test_elementwise_work_and_sums_move_below_the_permutation():
    y = nn.relu(nn.conv2d(X, W)) * 2.0
    graph = graph_of([X, W], sg.sum(y, axis=(0, 2, 3)))
    becomes(graph, """
        %0 = input "x" : f32[n, 2, 5, 5]
        %1 = input "w" : f32[4, 2, 3, 3]
        %2 = permute_dims(%0, axes=(0, 2, 3, 1)) : f32[n, 5, 5, 2]
        %3 = permute_dims(%1, axes=(2, 3, 1, 0)) : f32[3, 3, 2, 4]
        %4 = convolution(%2, %3, dilation=(1, 1), groups=1, stride=(1, 1)) : f32[n, 3, 3, 4]
        %5 = relu(%4) : f32[n, 3, 3, 4]
        %6 = constant(2.0) : f32[]
        %7 = reshape(%6, shape=(1, 1, 1, 1)) : f32[1, 1, 1, 1]
        %8 = broadcast_to(%7, shape=(n, 3, 3, 4)) : f32[n, 3, 3, 4]
        %9 = multiply(%5, %8) : f32[n, 3, 3, 4]
        %10 = sum(%9, axes=(0, 1, 2)) : f32[4]
        outputs: %10
        """, channels_last)  # fmt: skip
    agrees(graph, channels_last(graph), drawn(3, 2, 5, 5), drawn(4, 2, 3, 3))


def test_a_pooling_meets_the_convolution_before_it():
    graph = graph_of([X, W], nn.max_pool2d(nn.conv2d(X, W, padding="same"), 2))
    found = channels_last(graph)
    assert permutes(found) == ["f32[n, 5, 5, 2]", "f32[3, 3, 2, 4]", "f32[n, 4, 2, 2]"]
    agrees(graph, found, drawn(3, 2, 5, 5), drawn(4, 2, 3, 3))


def test_without_a_convolution_nothing_changes():
    graph = graph_of([X], sg.permute_dims(nn.relu(sg.permute_dims(X, (0, 2, 3, 1))), (0, 3, 1, 2)))
    assert channels_last(graph).outputs == graph.outputs


@pytest.mark.parametrize(
    "function",
    [
        lambda y: sg.concat([y, y * 2.0], axis=1),
        lambda y: sg.flip(y, 1)[:, 1:, ::2],
        lambda y: sg.pad(y, ((0, 0), (1, 2), (0, 0), (3, 0))),
        lambda y: nn.group_norm(y, 2),
        lambda y: nn.instance_norm(y),
        lambda y: nn.layer_norm(y, axes=(1, 2, 3)),
        lambda y: sg.mean(y, axis=(2, 3), keepdims=True) * y,
        lambda y: y + Y[:, :, 1:4, 1:4],
        lambda y: sg.reshape(y, (-1, 4, 9)) @ np.ones((9, 2), np.float32),
        lambda y: sg.reshape(y, (-1, 36)),
        lambda y: nn.softmax(y, axis=1),
        lambda y: sg.permute_dims(y, (2, 0, 3, 1)),
    ],
)
def test_whatever_follows_means_the_same(function):
    graph = pipeline.run(graph_of([X, W, Y], function(nn.conv2d(X, W))), training=False)[-1].graph
    assert any(n.op.name == "convolution" for n in graph.nodes)
    arrays = drawn(3, 2, 5, 5), drawn(4, 2, 3, 3), drawn(3, 4, 5, 5)
    agrees(graph_of([X, W, Y], function(nn.conv2d(X, W))), _plain(graph), *arrays)


def _plain(graph: Graph) -> Graph:
    return Graph(inputs=graph.inputs, outputs=graph.outputs)


def test_a_training_step_of_a_cnn_permutes_no_activation():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.Conv2d(4, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8 * 2 * 2, 3),
    )  # fmt: skip
    x, labels = sg.input("x", ("n", 2, 12, 12)), sg.input("labels", ("n",), sg.int64)
    loss = nn.cross_entropy(model(x), labels)
    updates = optim.SGD(0.1).minimize(loss, model.parameters())
    graph = Graph(
        inputs=(x.node, labels.node),
        outputs=(node_of(loss),),
        updates=tuple((node_of(s), node_of(v)) for s, v in updates.items()),
    )
    stages = {s.name: s.graph for s in pipeline.run(graph, training=True)}
    last = stages["materialize_results"]
    of_data = [t for t in permutes(last) if "n" in t]
    # The input, read through a view, and the labels' side of the last product, a transpose.
    assert of_data == ["f32[n, 12, 12, 2]", "f32[3, n]"]
    arrays = drawn(5, 2, 12, 12), RNG.integers(0, 3, 5)
    agrees(stages["simplify"], stages["flatten_products"], *arrays)


def test_the_gradient_of_padding_is_not_computed():
    x = sg.input("x", ("n", 8, 6, 3))
    w = sg.input("w", (3, 3, 3, 2))
    padded = sg.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    y = static_slice(convolution(padded, w), ((0, x.shape[0], 1), (2, 10, 1), (1, 6, 1), (0, 2, 1)))
    graph = graph_of([x, w], y)
    becomes(graph, """
        %0 = input "x" : f32[n, 8, 6, 3]
        %1 = input "w" : f32[3, 3, 3, 2]
        %2 = pad(%0, value=0, widths=((0, 0, 0), (0, 2, 0), (1, 0, 0), (0, 0, 0))) : f32[n, 10, 7, 3]
        %3 = convolution(%2, %1, dilation=(1, 1), groups=1, stride=(1, 1)) : f32[n, 8, 5, 2]
        outputs: %3
        """, narrow_convolutions)  # fmt: skip
    agrees(graph, narrow_convolutions(graph), drawn(2, 8, 6, 3), drawn(3, 3, 3, 2))


@pytest.mark.parametrize("width", [3, 300])
def test_a_flatten_moves_into_the_smaller_side_of_a_product(width):
    x = sg.input("x", ("n", 2, 3, 4))
    w = sg.input("w", (24, width))
    y = sg.reshape(sg.permute_dims(x, (0, 3, 1, 2)), (-1, 24)) @ w
    graph = graph_of([x, w], y)
    found = flatten_products(graph)
    (copied,) = [n.type for n in found.nodes if n.op.name == "copy"]
    assert str(copied) == ("f32[2, 3, 4, 3]" if width == 3 else "f32[n, 4, 2, 3]")
    agrees(graph, found, drawn(5, 2, 3, 4), drawn(24, width))


def test_frozen_batch_norm_folds_into_the_convolution():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    state = model.state_dict()
    model.load_state_dict({k: RNG.uniform(0.5, 2.0, v.shape).astype(v.dtype) for k, v in state.items()})
    graph = graph_of([X], model(X))
    frozen = lower(graph, "f", ["y"], Options(frozen=True), Target.host()).graph
    names = [n.op.name for n in frozen.nodes if n.op.kind.value in ("contraction", "elementwise")]
    assert names == ["convolution", "add", "relu", "copy"]  # the result goes out channels first
    agrees(lower(graph, "f", ["y"], Options(), Target.host()).derived, frozen, drawn(6, 2, 5, 5))


def test_a_bias_of_a_convolution_before_batch_norm_is_dropped():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    run = sg.function([X], model(X), training=True)
    assert "0.bias has no effect" in str(run.report())


def test_axes_of_a_reshape_fall_into_groups():
    n = Dim.named("n")
    assert axis_groups((n, 4, 3, 3), (n, 4, 9)) == [
        AxisGroup((0,), (0,)), AxisGroup((1,), (1,)), AxisGroup((2, 3), (2,)),
    ]  # fmt: skip
    assert axis_groups((6,), (1, 2, 1, 3)) == [AxisGroup((0,), (0, 1, 2, 3))]
    assert axis_groups((2, 3), (3, 2)) == [AxisGroup((0, 1), (0, 1))]
    assert axis_groups((0, 2), (0,)) is None


def test_a_reshape_that_merges_across_memory_keeps_no_order():
    assert reshaped_order((5, 4, 3, 3), (5, 2, 2, 3, 3), (0, 2, 3, 1)) == (0, 3, 4, 1, 2)
    assert reshaped_order((5, 4, 3, 3), (5, 4, 9), (0, 2, 3, 1)) == (0, 2, 1)
    assert reshaped_order((5, 4, 3, 3), (5, 36), (0, 2, 3, 1)) is None
    assert reshaped_order((1, 4, 1, 1), (4,), (0, 2, 3, 1)) == (0,)
