"""report(): what was fused into each kernel, why a kernel stands apart, and what the user should know."""

import numpy as np

import symgraph as sg
from symgraph import nn, optim


def training_step() -> sg.Function:
    x, y = sg.input("x", ("batch", 8)), sg.input("y", ("batch",), dtype=sg.int64)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm(16), nn.ReLU(), nn.Linear(16, 4))
    loss = nn.cross_entropy(model(x), y)
    updates = optim.SGD(0.1).minimize(loss, model.parameters())
    return sg.function([x, y], loss, updates, training=True)


def test_a_bias_that_does_nothing_is_told():
    report = training_step().report()
    (note,) = report.notes
    assert note.startswith("0.bias has no effect") and "test_report.py" in note
    assert note in str(report)


def test_every_product_says_why_it_is_apart():
    report = training_step().report()
    products = [line for line in report.launches if "matmul" in line.title and line.flops != 0]
    later = [line for line in products if any("a matmul starts a kernel" in r for r in line.reasons)]
    assert len(products) == 5 and len(later) >= 3  # the first reads inputs alone


def test_an_update_that_must_be_copied_is_told():
    p, q = sg.state("p", np.zeros(3, np.float32)), sg.state("q", np.ones(3, np.float32))
    report = sg.function([], [], updates={p: q, q: p}).report()
    assert any("is copied" in note for note in report.notes)
