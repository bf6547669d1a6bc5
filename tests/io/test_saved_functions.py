"""Function.save and sg.load: the function of the file computes what the saved one computed."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim
from symgraph.io import write_document


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


def test_a_damaged_function_is_refused(tmp_path):
    write_document(tmp_path / "f", "function", {"graph": {}}, {})
    with pytest.raises(sg.CheckpointError, match=r"f: damaged"):
        sg.load(tmp_path / "f")
    write_document(tmp_path / "g", "spell", {}, {})
    with pytest.raises(sg.CheckpointError, match=r"g: it holds a spell"):
        sg.load(tmp_path / "g")
