"""Recurrent layers in both worlds against PyTorch's numbers, made by recurrent_cases.py with torch 2.13."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from recurrent_cases import CASES, LENGTHS, REFERENCE, called, flat

import symgraph as sg
from symgraph import nn

STORED = dict(np.load(REFERENCE))


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=4e-6 * max(1.0, np.abs(expected).max()))


def stored(name: str, part: str) -> dict[str, np.ndarray]:
    prefix = f"{name}/{part}/"
    return {key.removeprefix(prefix): value for key, value in STORED.items() if key.startswith(prefix)}


def loaded(name: str) -> nn.Module:
    layer = CASES[name][0](nn)
    layer.load_state_dict(stored(name, "state"))
    return layer


def run(layer: nn.Module, name: str, arguments: list, upstream: list, lengths: Any) -> dict[str, Any]:
    """Results and gradients, in the world of the arguments."""
    options = {"lengths": lengths} if "lengths" in name else {}
    results = flat(called(layer, arguments, **options))
    first, *others = (sg.sum(r * g) for r, g in zip(results, upstream, strict=True))
    wanted = {"argument": arguments, "d": dict(layer.named_parameters())}
    return {"result": results, **sg.grad(sum(others, start=first), wanted)}


def check(name: str, found: dict[str, Any]) -> None:
    for part, values in (("result", found["result"]), ("gradient", found["argument"])):
        for number, expected in stored(name, part).items():
            close(values[int(number)], expected)
    for key, expected in stored(name, "d").items():
        close(found["d"][key], expected)


@pytest.mark.parametrize("name", CASES)
def test_the_state_dict_has_torchs_keys(name):
    found = {key: value.shape for key, value in CASES[name][0](nn).state_dict().items()}
    expected = {key: value.shape for key, value in stored(name, "state").items()}
    assert found == expected and list(found) == list(expected)


@pytest.mark.parametrize("name", CASES)
def test_eagerly(name):
    layer = loaded(name)
    arguments = [sg.tensor(a, requires_grad=True) for a in stored(name, "argument").values()]
    found = run(layer, name, arguments, list(stored(name, "upstream").values()), LENGTHS)
    arrays = {key: [v.data for v in found[key]] for key in ("result", "argument")}
    check(name, {**arrays, "d": {key: v.data for key, v in found["d"].items()}})


@pytest.mark.parametrize("name", CASES)
def test_compiled(name):
    """Steps and batch are named where there are both."""
    layer = loaded(name)
    given, upstream = (list(stored(name, part).values()) for part in ("argument", "upstream"))
    names = {5: "time", 3: "batch"} if given[0].ndim == 3 and given[0].shape[0] != 1 else {}

    def declared(what: str, arrays: list[np.ndarray]) -> list[Any]:
        return [sg.input(f"{what}{i}", tuple(names.get(e, e) for e in a.shape)) for i, a in enumerate(arrays)]

    arguments, seeds = declared("x", given), declared("g", upstream)
    lengths = sg.input("lengths", (names.get(3, 3),), sg.int64)
    found = run(layer, name, arguments, seeds, lengths)
    more = "lengths" in name
    f = sg.function([*arguments, *seeds, *([lengths] if more else [])], found)
    check(name, f(*given, *upstream, *([LENGTHS] if more else [])))


def test_a_sequence_does_not_depend_on_its_padding():
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    rows = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    whole, states = layer(sg.tensor(rows), lengths=np.array([7, 4]))
    short, _ = layer(sg.tensor(rows[:4, 1:]))
    np.testing.assert_allclose(whole.data[:4, 1:], short.data, rtol=1e-5, atol=1e-6)
    assert not whole.data[4:, 1].any() and whole.data[4:, 0].any()
    assert states[0].shape == states[1].shape == (4, 2, 4)


def test_dropout_between_layers_is_for_training():
    layer = nn.GRU(3, 16, num_layers=2, dropout=0.5)
    x = sg.input("x", ("time", "batch", 3))
    rows = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    train, predict = sg.function([x], layer(x)[0], training=True), sg.function([x], layer(x)[0])
    assert not np.array_equal(train(rows), train(rows))
    np.testing.assert_allclose(predict(rows), layer.eval()(sg.tensor(rows))[0].data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("world", ["static", "eager"])
def test_errors_say_what_was_expected(world):
    layer = nn.LSTM(3, 4)

    def value(*shape: int) -> Any:
        return sg.input("x", shape) if world == "static" else sg.tensor(np.zeros(shape, np.float32))

    with pytest.raises(sg.ShapeError, match=r"LSTM.*\(steps, batch, 3\)"):
        layer(value(5, 2, 7))
    with pytest.raises(sg.ShapeError, match="first states"):
        layer(value(5, 2, 3), (value(2, 2, 4), value(1, 2, 4)))
    with pytest.raises(sg.ShapeError, match="lengths"):
        layer(value(5, 2, 3), lengths=np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(3, 4, nonlinearity="sigmoid")
