"""Function.save and sg.load: the function of the file computes what the saved one computed."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from compiler.passes.check_indices import check_indices
from symgraph import nn, optim
from symgraph.api import function_of
from symgraph.io import graph_to_json, write_document
from symgraph.structure import flatten
from symgraph.symbol import Symbol
from symgraph.text import graph_text


def model_and_inputs():
    sg.seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm(8), nn.Dropout(0.3), nn.Linear(8, 3))
    return model, sg.input("x", ("batch", 5)), sg.input("y", ("batch",), sg.int64)


def test_a_predicting_function(tmp_path):
    model, x, _ = model_and_inputs()
    predict = sg.function([x], {"probabilities": nn.softmax(model(x)), "top": (sg.argmax(model(x), axis=1),)})
    predict.save(tmp_path / "predict.sg")
    again = sg.load(tmp_path / "predict.sg")
    batch = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    expected, found = predict(batch), again(batch)
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])
    np.testing.assert_array_equal(found["top"][0], expected["top"][0])
    assert isinstance(found["top"], tuple)


def test_a_training_function_goes_on_where_it_stood(tmp_path):
    model, x, y = model_and_inputs()
    loss = nn.cross_entropy(model(x), y)
    updates = optim.Adam(1e-2).minimize(loss, model.parameters())
    step = sg.function([x, y], loss, updates=updates, training=True)
    generator = np.random.default_rng(1)
    batches = [
        (generator.normal(size=(6, 5)).astype(np.float32), generator.integers(0, 3, 6)) for _ in range(6)
    ]
    for batch in batches[:3]:
        step(*batch)
    step.save(tmp_path / "step.sg")
    again = sg.load(tmp_path / "step.sg")
    before = model.state_dict()
    found = [again(*batch) for batch in batches[3:]]
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())
    np.testing.assert_array_equal(found, [step(*batch) for batch in batches[3:]])


def test_the_training_flag_the_updates_and_the_name_are_kept(tmp_path):
    model, x, y = model_and_inputs()
    loss = nn.cross_entropy(model(x), y)
    updates = optim.Adam(1e-2).minimize(loss, model.parameters())
    step = sg.function([x, y], loss, updates=updates, training=True, name="step")
    step.save(tmp_path / "step.sg")
    again = sg.load(tmp_path / "step.sg")
    assert again.name == "step" and again.options == step.options and again.options.training
    assert graph_text(again.graph) == graph_text(step.graph)
    kept = [(state.attrs["state"], type(state.attrs["state"])) for state, _ in again.graph.updates]
    given = [(state.attrs["state"], type(state.attrs["state"])) for state, _ in step.graph.updates]
    assert [(state.name, kind) for state, kind in kept] == [(state.name, kind) for state, kind in given]
    assert len(kept) == len(updates) and not {id(s) for s, _ in kept} & {id(s) for s, _ in given}
    batch = np.ones((6, 5), np.float32), np.zeros(6, np.int64)
    averages = [n.attrs["state"] for n in again.graph.nodes if n.name.endswith("running_mean")]
    before = [state.numpy() for state in averages]
    again(*batch)
    assert averages and not any(np.array_equal(b, a.numpy()) for b, a in zip(before, averages, strict=True))
    predict = sg.function([x], model(x))
    predict.save(tmp_path / "predict.sg")
    assert not sg.load(tmp_path / "predict.sg").options.training


def test_a_predicting_function_does_not_train_after_loading(tmp_path):
    model, x, _ = model_and_inputs()
    sg.function([x], model(x)).save(tmp_path / "f")
    again = sg.load(tmp_path / "f")
    batch = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_array_equal(again(batch), again(batch))  # no dropout, no counter that moves


def counting_table():
    """A function that looks up rows and counts its calls: a bad index must leave the count as it is."""
    table = nn.Parameter(np.arange(12, dtype=np.float32).reshape(4, 3), "table")
    count = sg.state("count", np.zeros((), np.float32))
    rows = sg.input("rows", ("batch",), sg.int64)
    return sg.function([rows], (sg.take(table, rows, axis=0), count), updates={count: count + 1.0})


def test_indices_are_checked_before_states_change_after_loading_too(tmp_path):
    function = counting_table()
    function.save(tmp_path / "f")
    again = sg.load(tmp_path / "f")
    for tried in (function, again):
        with pytest.raises(sg.InputError) as caught:
            tried(np.array([0, 4]))
        assert "4" in str(caught.value)
        taken, counted = tried(np.array([3, 0]))
        np.testing.assert_array_equal(taken, [[9, 10, 11], [0, 1, 2]])
        assert counted == 0.0


def test_checks_of_the_graph_are_kept(tmp_path):
    plain = counting_table()
    graph = check_indices(plain.graph)
    assert len(graph.checks) == 1
    first = Symbol(graph.outputs[0]), Symbol(graph.outputs[1])
    function_of(graph, first).save(tmp_path / "f")
    again = sg.load(tmp_path / "f")
    assert graph_text(again.graph) == graph_text(graph) and len(again.graph.checks) == 1
    with pytest.raises(sg.InputError):
        again(np.array([0, 4]))
    assert again(np.array([0]))[1] == 0.0
    again.save(tmp_path / "g")
    assert len(sg.load(tmp_path / "g").graph.checks) == 1


def kinds(structure):
    """The structure with the types of its leaves."""
    if isinstance(structure, dict):
        return {key: kinds(part) for key, part in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(kinds(part) for part in structure)
    return type(structure)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda a, b: a,
        lambda a, b: (a,),
        lambda a, b: [a, b],
        lambda a, b: {"b": b, "a": a},
        lambda a, b: {"heads": [a, (b, {"deep": a})], "": (), "none": [], "x.y": {}},
        lambda a, b: {0: a, 1: {True: b, None: a}},
        lambda a, b: (a, a, b, b),
        lambda a, b: (),
    ],
)
def test_the_structure_of_outputs_is_kept(tmp_path, arrange):
    x = sg.input("x", (3,))
    function = sg.function([x], arrange(x * 2.0, x + 1.0))
    function.save(tmp_path / "f")
    again = sg.load(tmp_path / "f")
    again.save(tmp_path / "g")
    values = np.arange(3, dtype=np.float32)
    expected = function(values)
    for found in (again(values), sg.load(tmp_path / "g")(values)):
        assert kinds(found) == kinds(expected)
        for (name, left), (other, right) in zip(flatten(found), flatten(expected), strict=True):
            assert name == other and np.array_equal(left, right)


def test_a_key_that_no_file_can_hold_is_refused(tmp_path):
    x = sg.input("x", (3,))
    with pytest.raises(sg.CheckpointError, match=r"key.*\(1, 2\)"):
        sg.function([x], {(1, 2): x}).save(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_outputs_and_places_must_agree(tmp_path):
    x = sg.input("x", (3,))
    function = sg.function([x], (x, x * 2.0))
    content, tensors = graph_to_json(function.graph)
    for parts in ([None], [None] * 3, [{"set": []}], [[]]):
        described = {"graph": content, "name": "f", "training": False, "outputs": {"tuple": parts}}
        write_document(tmp_path / "f", "function", described, tensors)
        with pytest.raises(sg.CheckpointError, match="damaged function"):
            sg.load(tmp_path / "f")


def test_a_damaged_function_is_refused(tmp_path):
    write_document(tmp_path / "f", "function", {"graph": {}}, {})
    with pytest.raises(sg.CheckpointError, match=r"f: damaged"):
        sg.load(tmp_path / "f")
    write_document(tmp_path / "g", "spell", {}, {})
    with pytest.raises(sg.CheckpointError, match=r"g: it holds a spell"):
        sg.load(tmp_path / "g")
