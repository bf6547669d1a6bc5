"""Round trips: arrays, models, optimizers, graphs; and the safetensors library as the other reader."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

import symgraph as sg
from symgraph import nn, optim
from symgraph.errors import CheckpointError
from symgraph.gradient import grad
from symgraph.graph import Graph
from symgraph.io import graph_from_json, graph_to_json, load, save
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, input
from symgraph.text import graph_text

ARRAYS = {
    "f32": np.array([[0.0, -0.0, np.nan], [np.inf, 1e-45, 3.4e38]], np.float32),
    "f64": np.array([0.1, -np.inf, 5e-324]),
    "i32": np.array([-(2**31), 2**31 - 1], np.int32),
    "i64": np.array([[-(2**63)], [2**63 - 1]]),
    "bool": np.array([True, False, True]),
    "scalar": np.array(1.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "reversed": np.arange(6)[::-2],
    "repeated": np.broadcast_to(np.float32(2.0), (2, 3)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def test_arrays_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "a b.sg"
    save(path, ARRAYS)
    found = load(path)
    assert list(found) == list(ARRAYS)
    assert all(same(found[name], array) for name, array in ARRAYS.items())
    found["f32"][0, 0] = 5.0  # what was loaded is the reader's own


def test_the_library_reads_what_we_write_and_we_what_it_writes(tmp_path):
    save(tmp_path / "ours", ARRAYS)
    theirs = safetensors.numpy.load_file(tmp_path / "ours")
    assert all(same(theirs[name], array) for name, array in ARRAYS.items())
    contiguous = {name: np.array(array, order="C") for name, array in ARRAYS.items()}
    safetensors.numpy.save_file(contiguous, tmp_path / "theirs")
    found = load(tmp_path / "theirs", verify=False)
    assert all(same(found[name], array) for name, array in ARRAYS.items())
    with pytest.raises(CheckpointError, match="no symgraph checksum"):
        load(tmp_path / "theirs")


def test_an_array_of_another_tool_that_we_do_not_know(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(2, np.float16)}, tmp_path / "half")
    with pytest.raises(CheckpointError, match="half: array 'a' is float16; only float32"):
        load(tmp_path / "half", verify=False)


def test_equal_contents_make_equal_files(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name, {"epoch": 3, "nested": ARRAYS, "more": ARRAYS})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_arrays_at_all(tmp_path):
    save(tmp_path / "x", {"epoch": 3, "nothing": {}})
    assert load(tmp_path / "x") == {"epoch": 3, "nothing": {}}


def test_nested_dicts_and_plain_values(tmp_path):
    tree = {
        "epoch": 3,
        "rate": float("inf"),
        "note": "naïve ⚡",
        "none": None,
        "flag": True,
        "deep": {"a/b": np.ones(2, np.float32), "a": {"b": np.zeros(2, np.float32)}, "nothing": {}},
    }
    save(tmp_path / "t", tree)
    found = load(tmp_path / "t")
    assert {k: v for k, v in found.items() if k != "deep"} == {k: v for k, v in tree.items() if k != "deep"}
    np.testing.assert_array_equal(found["deep"]["a/b"], [1, 1])
    np.testing.assert_array_equal(found["deep"]["a"]["b"], [0, 0])
    assert found["deep"]["nothing"] == {}


def test_a_model_and_its_optimizer(tmp_path):
    model, optimizer = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4)), optim.Adam()
    optimizer.minimize(sum_(model(np.eye(3, dtype=np.float32)) ** 3), model.parameters())
    save(tmp_path / "m", {"model": model, "optimizer": optimizer})
    found = load(tmp_path / "m")
    other, fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4)), optim.Adam()
    other.load_state_dict(found["model"])
    fresh.load_state_dict(found["optimizer"], other.parameters())
    for left, right in ((model, other), (optimizer, fresh)):
        state = right.state_dict()
        assert all(same(value, state[key]) for key, value in left.state_dict().items())


@pytest.mark.parametrize("as_module", [True, False])
def test_a_state_dict_is_loaded_in_one_line(tmp_path, as_module):
    def fresh():
        return nn.Sequential(nn.Linear(7, 5), nn.BatchNorm(5), nn.Sequential(nn.ReLU(), nn.LayerNorm(5)))

    sg.seed(1)
    model, other = fresh(), fresh()
    model(np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32))  # moves the averages
    sg.save(tmp_path / "m", model if as_module else model.state_dict())
    result = other.load_state_dict(sg.load(tmp_path / "m"))
    assert not any(result)  # nothing missing, nothing left over
    expected, found = model.state_dict(), other.state_dict()
    assert list(expected) == list(found) and expected["1.running_mean"].any()
    assert all(same(value, found[key]) for key, value in expected.items())


def test_training_resumes_bit_for_bit(tmp_path):
    def fresh():
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 1))
        return model, optim.Adam(0.01)

    def train(model, optimizer):
        for _ in range(3):
            optimizer.minimize(sum_(model(np.eye(3, dtype=np.float32)) ** 2), model.parameters())

    model, optimizer = fresh()
    train(model, optimizer)
    save(tmp_path / "m", {"model": model, "optimizer": optimizer, "random": model.random_state()})
    train(model, optimizer)
    found = load(tmp_path / "m")
    other, again = fresh()
    other.load_state_dict(found["model"])
    other.load_random_state(found["random"])
    again.load_state_dict(found["optimizer"], other.parameters())
    train(other, again)
    assert all(same(value, other.state_dict()[key]) for key, value in model.state_dict().items())


def training_graph() -> Graph:
    model = nn.Sequential(
        nn.Linear(8, 6, bias=False),
        nn.BatchNorm(6),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.LayerNorm(6),
        nn.Linear(6, 3),
    )
    x, y = input("x", ("batch", 8)), input("y", ("batch",), np.int64)
    loss = nn.cross_entropy(model(x), y)
    updates = optim.AdamW(1e-3).minimize(loss, model.parameters())
    pairs = tuple((state.as_node(), value.node) for state, value in updates.items())
    return Graph(inputs=(x.node, y.node), outputs=(loss.node, nn.softmax(model(x)).node), updates=pairs)


def test_a_training_graph(tmp_path):
    graph = training_graph()
    save(tmp_path / "g", graph)
    found = load(tmp_path / "g")
    assert graph_text(found) == graph_text(graph)
    assert [n.location for n in found.nodes] == [n.location for n in graph.nodes]
    states = [(n.attrs["state"], m.attrs["state"]) for n, m in zip(graph.nodes, found.nodes, strict=True)
              if n.op.name == "state"]  # fmt: skip
    assert len(states) > 20
    for left, right in states:
        assert left is not right and type(left) is type(right) and left.name == right.name
        assert same(left.numpy(), right.numpy())


def test_attributes_of_every_kind():
    x = input("x", ("rows", 4, "columns"))
    y = x.reshape(("rows", -1)).T[::-1] * np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1)
    graph = Graph(inputs=(x.node,), outputs=(y.node, grad(sum_(y * float("inf")), x).node))
    found = graph_from_json(*graph_to_json(graph))
    assert graph_text(found) == graph_text(graph)
    assert found.outputs[0].type == graph.outputs[0].type


def test_a_state_that_is_only_written_is_kept():
    state = nn.Parameter(np.zeros(3, np.float32), "last")
    x = input("x", (3,))
    graph = Graph(inputs=(x.node,), outputs=(), updates=((state.as_node(), x.node),))
    found = graph_from_json(*graph_to_json(graph))
    assert found.updates[0][0].name == "last" and found.updates[0][1] is found.inputs[0]


def test_a_deep_graph(tmp_path):
    x = value = input("x", (2,))
    for _ in range(2_000):
        value = value + 1.0
    save(tmp_path / "deep", Graph(inputs=(x.node,), outputs=(value.node,)))
    assert len(load(tmp_path / "deep").nodes) > 2_000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": np.zeros(2, np.float16)}, "float16"),
        ({"a": np.zeros(2, np.complex64)}, "complex64"),
        ({"a": np.array([None])}, "object"),
        ({"a": np.zeros(2, ">f4")}, ">f4"),
        ({"a": object()}, "a: expected arrays"),
        ({1: np.zeros(2)}, "keys are strings, not 1"),
        ({"a\nb": np.zeros(2)}, "printable"),
        ({"a" * 2000: np.zeros(2)}, "too long"),
        ({"a": np.array([2, 1], np.uint8).view(bool)}, "a bool that is neither 0 nor 1"),
        ([1, 2], r"value: expected arrays, .*got \[1, 2\]"),
        ({"f": lambda: 1}, "f: expected arrays, .*got <function"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_nothing_written(tmp_path, value, message):
    with pytest.raises(CheckpointError, match=message):
        save(tmp_path / "x", value)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("symgraph.io.model_file.FORMAT", 2)
    save(tmp_path / "new", {"a": 1})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="its format is '2', this version of symgraph reads 1"):
        load(tmp_path / "new")


def test_a_symbol_is_no_checkpoint(tmp_path):
    x = input("x", (2,))
    assert isinstance(x, Symbol)
    with pytest.raises((CheckpointError, TypeError)):
        save(tmp_path / "x", {"x": x})
