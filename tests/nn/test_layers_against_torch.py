"""Every layer against PyTorch's numbers (layer_reference.npz, made by layer_cases.py with torch 2.13)."""

from __future__ import annotations

import numpy as np
import pytest
from layer_cases import CASES, REFERENCE

from symgraph import nn
from symgraph.eager import tensor

STORED = dict(np.load(REFERENCE))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6 * max(1.0, np.abs(expected).max()))


def stored(name: str, part: str) -> dict[str, np.ndarray]:
    prefix = f"{name}/{part}/"
    return {key.removeprefix(prefix): value for key, value in STORED.items() if key.startswith(prefix)}


def loaded(name: str) -> nn.Module:
    layer = CASES[name][0](nn)
    layer.load_state_dict(stored(name, "state"))
    return layer


@pytest.mark.parametrize("name", CASES)
def test_the_state_dict_has_torchs_keys(name):
    layer = CASES[name][0](nn)
    found = {key: (value.shape, value.dtype) for key, value in layer.state_dict().items()}
    expected = {key: (value.shape, value.dtype) for key, value in stored(name, "state").items()}
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("name", CASES)
def test_forward_and_gradients(name):
    layer = loaded(name)
    x = tensor(STORED[f"{name}/x"], requires_grad=True)
    y = layer(x)
    close(y.numpy(), STORED[f"{name}/y"])
    y.backward(STORED[f"{name}/g"])
    close(x.grad, STORED[f"{name}/dx"])
    gradients = stored(name, "d")
    assert [key for key, _ in layer.named_parameters()] == list(gradients)
    for key, parameter in layer.named_parameters():
        close(parameter.grad, gradients[key])


@pytest.mark.parametrize("name", [n for n in CASES if f"{n}/inference" in STORED])
def test_moving_averages_and_inference(name):
    layer = loaded(name)
    x = STORED[f"{name}/x"]
    for batch in (x, x * 2.0 - 1.0, x - 0.5):
        layer(tensor(batch.astype(np.float32)))
    after = layer.state_dict()
    for key, expected in stored(name, "after").items():
        close(after[key], expected)
    close(layer.eval()(tensor(x)).numpy(), STORED[f"{name}/inference"])
    assert all(np.array_equal(after[key], value) for key, value in layer.state_dict().items())
