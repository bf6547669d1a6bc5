"""Modules: what belongs to them, names, saving and loading, text."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from symgraph import nn
from symgraph.eager import Parameter, State
from symgraph.errors import ShapeError, StateError
from symgraph.graph import topological
from symgraph.symbol import input, node_of


class Block(nn.Module):
    def __init__(self, width: int):
        self.offset = State("offset", np.zeros(width, np.float32))
        self.linear = nn.Linear(width, width)
        self.scale = nn.Parameter(np.ones(width, np.float32))

    def forward(self, x):
        return self.linear(x) * self.scale + self.offset


class Model(nn.Module):
    def __init__(self):
        self.blocks = nn.ModuleList([Block(3), Block(3)])
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_own_parameters_come_first_then_states_then_what_is_below():
    assert list(Block(3).state_dict()) == ["scale", "offset", "linear.weight", "linear.bias"]
    assert [key for key, _ in Block(3).named_parameters()] == ["scale", "linear.weight", "linear.bias"]
    assert [key for key, _ in Block(3).named_buffers()] == ["offset"]


def test_parameters_are_named_after_their_path():
    model = Model()
    assert all(p.name == key for key, p in model.named_parameters())
    assert model.blocks[1].linear.weight.name == "blocks.1.linear.weight"
    assert [b.name for b in model.buffers()] == ["blocks.0.offset", "blocks.1.offset"]
    assert model.blocks[0].linear.path == "blocks.0.linear"


def test_a_name_that_was_given_is_kept():
    module = nn.Module()
    module.weight = Parameter(np.zeros(2, np.float32), "mine")
    outer = nn.Module()
    outer.inner = module
    assert module.weight.name == "mine"
    assert [key for key, _ in outer.named_parameters()] == ["inner.weight"]


def test_shared_parameters_and_modules_count_once():
    model = nn.Module()
    model.a = nn.Linear(3, 3)
    model.b = nn.Linear(3, 3)
    model.b.weight = model.a.weight
    model.c = model.a
    assert len(model.parameters()) == 3
    assert [path for path, _ in model.named_modules()] == ["", "a", "b"]
    assert {"a.weight", "b.weight", "c.weight"} <= set(model.state_dict())
    assert model.a.weight.name == "a.weight"


def test_a_cycle_of_attributes_is_not_needed_to_walk_deep_models():
    model = nn.Module()
    inner = model
    for _ in range(3000):
        inner.next = nn.Module()
        inner = inner.next
    inner.weight = nn.Parameter(np.zeros(1, np.float32))
    assert len(model.parameters()) == 1


def test_state_dict_round_trip_copies():
    source, target = Model(), Model()
    saved = source.state_dict()
    saved_copy = {key: value.copy() for key, value in saved.items()}
    target.load_state_dict(saved)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(source(x).numpy(), target(x).numpy())
    saved["head.bias"] += 1.0
    np.testing.assert_array_equal(source.head.bias.numpy(), saved_copy["head.bias"])
    np.testing.assert_array_equal(target.head.bias.numpy(), saved_copy["head.bias"])


def test_loading_lists_every_difference_and_changes_nothing():
    model = Model()
    before = model.state_dict()
    state = {key: value + 1 for key, value in model.state_dict().items()}
    del state["head.bias"]
    state["head.weight"] = np.zeros((2, 4), np.float32)
    state["blocks.0.scale"] = state["blocks.0.scale"].astype(np.float64)
    state["tail.weight"] = np.zeros(1, np.float32)
    with pytest.raises(StateError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "4 differences, nothing was loaded",
        "head.bias: missing",
        "head.weight: expected float32[2, 3], got float32[2, 4]",
        "blocks.0.scale: expected float32[3], got float64[3]",
        "tail.weight: not in the model",
    ):
        assert part in text
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


def test_loading_in_part():
    model = Model()
    left_out = model.load_state_dict({"head.bias": np.ones(2, np.float32), "other": np.ones(1)}, strict=False)
    assert "head.weight" in left_out.missing_keys and left_out.unexpected_keys == ["other"]
    np.testing.assert_array_equal(model.head.bias.numpy(), [1.0, 1.0])
    with pytest.raises(StateError, match=r"head\.bias: expected"):
        model.load_state_dict({"head.bias": np.ones(3, np.float32)}, strict=False)


def test_two_values_for_one_shared_parameter_are_refused():
    model = nn.Module()
    model.a = nn.Linear(2, 2, bias=False)
    model.b = nn.Linear(2, 2, bias=False)
    model.b.weight = model.a.weight
    state = model.state_dict()
    state["b.weight"] = state["b.weight"] + 1
    with pytest.raises(StateError, match=r"b\.weight: shared with a\.weight"):
        model.load_state_dict(state)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_a_model_of_its_own(copied):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Dropout(0.5))
    model.tied = model[0]
    model[0].bias.requires_grad = False
    x = input("x", ("batch", 3))
    before = node_of(model(x))
    other = copied(model)
    other[0].weight.assign(np.zeros((4, 3), np.float32))
    assert other.tied is other[0] and other[0].weight.name == "0.weight" and model[0].weight.numpy().any()
    assert not other[0].bias.requires_grad and isinstance(other[0].weight, Parameter)
    assert other[0].weight.data.ctypes.data % 64 == 0
    states = {n.attrs["state"] for n in topological([before]) if n.op.name == "state"}
    after = [n.attrs["state"] for n in topological([node_of(other(x))]) if n.op.name == "state"]
    assert len(after) == len(states) and not states & set(after)


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm(3)))
    assert model.training and model.eval() is model
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_modules_in_a_plain_list_are_refused():
    class Lost(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(TypeError, match=r"Lost\.layers.*nn\.ModuleList"):
        Lost()
    with pytest.raises(TypeError, match="holds modules, not function"):
        nn.Sequential(nn.relu.__call__.__func__)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        nn.ModuleList([nn.Linear(2, 2)])(1.0)


def test_text_reads_like_torchs():
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Sequential(nn.ReLU(), nn.Dropout(0.2)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=4, out_features=3, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Dropout(p=0.2)\n"
        "  )\n"
        ")"
    )


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: nn.Linear(64, 10), ("batch", 32), r"Linear\(in_.*expected \(.*, 64\), got f32\[batch, 32\]"),
        (lambda: nn.BatchNorm(8), ("batch", 4), r"BatchNorm\(8.*expected \(batch, 8, .*got f32\[batch, 4\]"),
        (lambda: nn.LayerNorm((3, 4)), (2, 4), r"expected \(\.\.\., 3, 4\), got f32\[2, 4\]"),
        (lambda: nn.RMSNorm(5), (2, 4), r"expected \(\.\.\., 5\)"),
        (lambda: nn.GroupNorm(2, 6), (2, 4, 5), r"expected \(batch, 6"),
        (lambda: nn.InstanceNorm(6), (2, 6), r"expected \(batch, 6, length"),
    ],
)  # fmt: skip
def test_a_wrong_shape_names_the_layer_and_the_line(layer, shape, expected):
    model = nn.Sequential(nn.Identity(), layer())
    for x in (input("x", shape), np.zeros([7 if s == "batch" else s for s in shape], np.float32)):
        text = expected if not isinstance(x, np.ndarray) else expected.replace("f32\\[batch", "f32\\[7")
        with pytest.raises(ShapeError, match=rf"(?s){text}.*test_module\.py") as caught:
            model(x)
        assert "at '1'" in str(caught.value)
