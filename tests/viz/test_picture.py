"""What a picture shows of a graph, before it has a format."""

import numpy as np

import symgraph as sg
from compiler.passes.derive_gradients import derive_gradients
from symgraph import nn, optim
from symgraph.graph import Graph
from symgraph.viz.build import picture_of
from symgraph.viz.drawing import make_picture
from symgraph.viz.picture import Lane, Role


def training_graph(optimizer=None):
    x = sg.input("x", ("batch", 4))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    loss = nn.cross_entropy(model(x), y)
    updates = (optimizer or optim.SGD(0.1)).minimize(loss, model.parameters())
    pairs = tuple((state.leaf_node(), value.node) for state, value in updates.items())
    return derive_gradients(Graph(inputs=(x.node, y.node), outputs=(loss.node,), updates=pairs))


def titles(picture, role):
    return [box.lines[0] for box in picture.boxes if box.role is role]


def test_roles_tell_forward_backward_and_updates_apart():
    picture = picture_of(training_graph())
    assert titles(picture, Role.INPUT) == ["x", "y"]
    assert titles(picture, Role.PARAMETER) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert titles(picture, Role.FORWARD)[:3] == ["matmul(·, ·ᵀ)", "add", "tanh"]
    assert "softmax" in titles(picture, Role.BACKWARD)
    assert sorted(titles(picture, Role.UPDATE)) == [
        "update 0.bias", "update 0.weight", "update 2.bias", "update 2.weight",
    ]  # fmt: skip
    assert titles(picture, Role.OUTPUT) == ["output"]


def test_backward_stands_beside_forward():
    picture = picture_of(training_graph())
    for box in picture.boxes:
        expected = {Role.BACKWARD: Lane.BACKWARD, Role.UPDATE: Lane.UPDATE}.get(box.role, Lane.FORWARD)
        assert box.lane is expected, box


def test_edges_are_topological_and_carry_types():
    for detail in (False, True):
        picture = picture_of(training_graph(), detail=detail)
        for edge in picture.edges:
            assert edge.source < edge.target
        labels = {edge.label for edge in picture.edges}
        assert {"f32[batch, 8]", "f32[batch, 3]", "f32[]"} <= labels


def test_one_box_for_a_parameter_with_its_moments():
    picture = picture_of(training_graph(optim.Adam(1e-3)))
    boxes = [box for box in picture.boxes if box.role is Role.UPDATE]
    assert len(boxes) == 5  # four parameters and the step counter that they share
    assert sum("for all updates" in box.lines for box in boxes) == 1
    assert not titles(picture, Role.STATE)  # moments are named by the boxes that update them


def test_detail_draws_every_node():
    graph = training_graph(optim.Adam(1e-3))
    picture = picture_of(graph, detail=True)
    ends = len(graph.outputs) + len(graph.updates)
    assert len(picture.boxes) == len(graph.nodes) + ends
    assert len(picture_of(graph).boxes) < len(graph.nodes) / 2


def test_scalars_are_written_into_their_users():
    x = sg.input("x", ("batch", 3))
    picture = make_picture(sg.mean(x * 0.5 + 1.0))
    shown = titles(picture, Role.FORWARD)
    assert shown[:2] == ["multiply(·, 0.5)", "add(·, 1.0)"]
    assert len(picture.boxes) == len(shown) + 2
    assert not titles(picture, Role.CONSTANT)


def test_a_constant_output_is_still_said():
    picture = make_picture(sg.constant(np.float32(2.5)))
    assert [box.lines for box in picture.boxes] == [("output", "2.5")]


def test_variables_name_what_they_hold():
    x = sg.input("x", (3,))
    hidden = sg.exp(x)
    picture = make_picture(sg.tanh(hidden))
    assert titles(picture, Role.FORWARD) == ["hidden = exp", "tanh"]


def test_the_lectures_cell_from_the_eager_tape():
    rng = np.random.default_rng(0)
    x, prev_h, W_h, W_x = (
        sg.tensor(rng.standard_normal(s).astype(np.float32), requires_grad=True)
        for s in ((1, 10), (1, 20), (20, 20), (20, 10))
    )
    i2h = W_x @ x.T
    h2h = W_h @ prev_h.T
    next_h = sg.tanh(i2h + h2h)
    next_h.backward(np.ones((20, 1), np.float32))
    picture = make_picture(next_h)
    assert titles(picture, Role.PARAMETER) == ["W_x", "x", "W_h", "prev_h"]
    assert titles(picture, Role.FORWARD) == [
        "i2h = matmul(·, ·ᵀ)", "h2h = matmul(·, ·ᵀ)", "add", "next_h = tanh",
    ]  # fmt: skip
    assert {edge.label for edge in picture.edges} == {"", "f32[20, 1]"}


def test_carried_state_is_an_update_not_an_operand():
    x = sg.input("x", ("batch", 4))
    picture = make_picture(nn.BatchNorm(4)(x))
    assert "update running_mean" in titles(picture, Role.UPDATE)
    assert "carry" not in titles(picture, Role.FORWARD)


def test_module_shows_layers_with_their_parameters():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2)))
    picture = make_picture(model)
    assert [box.lines[0] for box in picture.boxes] == [
        "Sequential", "0: Linear", "1: ReLU", "2: Sequential", "2.0: Linear",
    ]  # fmt: skip
    assert "weight f32[8, 4]" in picture.boxes[1].lines
    assert "58 parameters" in picture.boxes[0].lines
    assert [(e.source, e.target) for e in picture.edges] == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_clusters_by_line():
    x = sg.input("x", (3,))
    y = x
    for _ in range(2):
        y = sg.exp(sg.tanh(y) + 1.0)
        y = sg.abs(y)
    picture = make_picture(y, clusters="lines")
    framed = [box.cluster for box in picture.boxes if box.cluster is not None]
    assert len(framed) == 6 and len(set(framed)) == 2  # the rounds of the loop stand apart


def test_a_node_of_two_kernels_is_drawn_in_the_first():
    x = sg.input("x", (3,))
    a, b = sg.exp(x), sg.tanh(x)
    c = a + b
    picture = make_picture(c, clusters=[("one", [a.node]), ("two", [a.node, b.node, c.node])])
    assert [box.cluster for box in picture.boxes] == [None, 0, 1, 1, None]
    assert picture.clusters == ("one", "two")
