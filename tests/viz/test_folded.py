"""Pictures with one box for each kernel."""

import pytest

import symgraph as sg
from symgraph import nn, optim
from symgraph.viz.folded import folded_picture
from symgraph.viz.picture import Role


def training_step(layers: int) -> sg.Function:
    x, y = sg.input("x", ("batch", 8)), sg.input("y", ("batch",), dtype=sg.int64)
    blocks = [(nn.Linear(8, 8, bias=False), nn.BatchNorm(8), nn.ReLU()) for _ in range(layers)]
    model = nn.Sequential(*(part for block in blocks for part in block), nn.Linear(8, 3))
    loss = nn.cross_entropy(model(x), y)
    updates = optim.SGD(0.1).minimize(loss, model.parameters())
    return sg.function([x, y], loss, updates, training=True, name="step")


def picture_of(function: sg.Function):
    lowered = function._compiled.lowered
    clusters = [(c.title(), tuple(c.nodes)) for c in lowered.plan.clusters]
    return folded_picture(lowered.graph, clusters, "step"), clusters


def test_a_box_for_each_input_cluster_and_output():
    picture, clusters = picture_of(training_step(2))
    counters = sum(1 for _, members in clusters if len(members) == 1 and members[0].op.name == "add")
    roles = [box.role for box in picture.boxes]
    assert roles.count(Role.INPUT) == 2 and roles.count(Role.OUTPUT) == 1
    assert counters == 2  # of the batches that each batch norm has seen: they share a box
    assert len(picture.boxes) == 2 + len(clusters) - counters + 1 + 1
    assert all(edge.source < edge.target for edge in picture.edges)


def test_boxes_name_the_states_that_they_read_and_update():
    picture, _ = picture_of(training_step(1))
    lines = [line for box in picture.boxes for line in box.lines]
    for name in ("0.weight", "1.weight", "1.bias", "3.weight", "3.bias", "1.num_batches_tracked"):
        assert any(line.startswith("updates ") and name in line for line in lines), name
    assert "reads 0.weight" in lines and "reads 3.weight, 3.bias" in lines


def test_large_functions_are_folded_by_themselves(tmp_path, monkeypatch):
    step = training_step(2)
    stages = ("clusters", "kernels")
    drawn = {stage: step.draw(tmp_path / f"{stage}.svg", stage).read_text() for stage in stages}
    boxes = {stage: drawn[stage].count('<g id="n') for stage in stages}
    assert boxes["kernels"] < boxes["clusters"] / 2
    monkeypatch.setattr("symgraph.api.MOST_DRAWN", 50)
    assert step.draw(tmp_path / "folded.svg").read_text() == drawn["kernels"]


def test_code_is_no_picture(tmp_path):
    with pytest.raises(sg.ExportError, match=r"stage 'llvm' is text; see it with text\('llvm'\)"):
        training_step(1).draw(tmp_path / "a.svg", "llvm")
