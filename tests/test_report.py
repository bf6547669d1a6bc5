"""report(): what was fused into each kernel, why a kernel stands apart, and what the user should know."""

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim
from symgraph.words import counted, duration, memory


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


def test_figures_agree_with_their_nouns():
    x = sg.input("x", ("batch", 8))
    f = sg.function([x], x + 1.0)
    assert ": 1 launch of 1 kernel, " in str(f.report())
    assert str(f.profile(np.ones((3, 8), np.float32), calls=2)).splitlines()[0].endswith(" in 1 launch")
    assert f": {len(training_step().report().launches)} launches of " in str(training_step().report())


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (counted(1, "byte"), "1 byte"), (counted(2500, "byte"), "2,500 bytes"),
        (counted(1, "launch", "launches"), "1 launch"), (counted(2, "launch", "launches"), "2 launches"),
        (duration(1.5), "1.50 s"), (duration(0.0015), "1.50 ms"), (duration(1.5e-6), "1.5 us"),
        (memory(1), "1 byte"), (memory(1536), "1.5 KiB"), (memory(3 << 20), "3.0 MiB"),
    ],
)  # fmt: skip
def test_figures_read_well(shown, text):
    assert shown == text


def moved(f: sg.Function) -> list[tuple[object, object]]:
    return [(line.bytes, line.flops) for line in f.report().launches]


def total_flops(f: sg.Function) -> Any:
    return sum(line.flops for line in f.report().launches)


def test_bytes_are_each_read_once_and_written_once():
    x, y = sg.input("x", (32, 64)), sg.input("y", (64,))
    assert moved(sg.function([x, y], sg.tanh(x) * y + x)) == [(4 * (2 * 32 * 64 + 64), 3 * 32 * 64)]


def test_a_state_updated_in_place_is_read_and_written():
    g = sg.input("g", (1000,))
    p = sg.state("p", np.ones(1000, np.float32))
    assert moved(sg.function([g], [], updates={p: p - 0.1 * g})) == [(3 * 4000, 2000)]


def test_adam_moves_seven_arrays():
    g = sg.input("g", (4096,))
    p = nn.Parameter(np.ones(4096, np.float32))
    updates = optim.Adam(1e-3).minimize(sg.sum(p * g), [p])
    largest = max(line.bytes for line in sg.function([g], [], updates, training=True).report().launches)
    assert 7 * 4 * 4096 <= largest <= 7 * 4 * 4096 + 64  # p, m, v in and out, the gradient in


def test_a_slice_and_a_gather_read_what_they_need():
    table, rows = sg.input("table", (100_000, 8)), sg.input("rows", (16,), dtype=sg.int64)
    assert moved(sg.function([table], sg.exp(table[:10]))) == [(2 * 4 * 80, 80)]
    lines = sg.function([table, rows], sg.exp(sg.take(table, rows, axis=0))).report().launches
    assert sum(line.bytes for line in lines if "exp" in line.title) == 2 * 4 * 16 * 8 + 16 * 8


def test_flops_of_products():
    a, b = sg.input("a", (5, 7, 33)), sg.input("b", (5, 33, 11))
    assert total_flops(sg.function([a, b], sg.matmul(a, b))) == 2 * 5 * 7 * 33 * 11
    x = sg.input("x", ("n", 33))
    flops = total_flops(sg.function([x], x @ np.ones((33, 4), np.float32)))
    assert flops.evaluate({"n": 10}) == 2 * 10 * 33 * 4


def test_moving_data_is_no_arithmetic():
    x = sg.input("x", (6, 4))
    assert moved(sg.function([x], sg.concat([x, x], axis=0))) == [(4 * 24 * 3, 0)]


def test_a_loop_counts_all_its_rounds():
    w = np.ones((8, 8), np.float32)
    x = sg.input("x", (10, 4, 8))

    def body(h, row):
        h = sg.tanh(h @ w + row)
        return h, h

    f = sg.function([x], sg.scan(body, sg.zeros((4, 8)), x)[1])
    assert total_flops(f) >= 10 * 2 * 4 * 8 * 8
    largest = max(f.report().launches, key=lambda line: line.flops)
    assert largest.flops == 10 * (2 * 4 * 8 * 8 + 2 * 4 * 8)
    assert largest.bytes >= 10 * 4 * (8 * 8 + 3 * 4 * 8)  # w, h, the row, the new h: in each round


def test_the_work_of_a_convolutions_gradient_is_where_it_multiplies():
    x, g = sg.input("x", (8, 3, 16, 16)), sg.input("g", (8, 4, 14, 14))
    w = sg.input("w", (4, 3, 3, 3))
    f = sg.function([x, w, g], sg.grad(sg.sum(nn.conv2d(x, w) * g), w))
    assert 2 * 8 * 14 * 14 * 4 * 3 * 9 in [line.flops for line in f.report().launches]
