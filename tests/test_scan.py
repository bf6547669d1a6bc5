"""sg.scan against the Python loop it stands for, in both worlds, compiled and saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3, 4))
H = RNG.standard_normal((3, 5))


def weights() -> tuple[nn.Parameter, nn.Parameter]:
    rng = np.random.default_rng(1)
    return nn.Parameter(rng.standard_normal((4, 5)) * 0.4), nn.Parameter(rng.standard_normal((5, 5)) * 0.4)


def recurrent(x: Any, h: Any, w: Any, u: Any, **options: Any) -> tuple[Any, Any]:
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        h = sg.tanh(x @ w + h @ u)
        return h, h

    return sg.scan(cell, h, x, **options)


def unrolled(x: np.ndarray, h: np.ndarray, w: np.ndarray, u: np.ndarray) -> np.ndarray:
    rows = []
    for row in x:
        h = np.tanh(row @ w + h @ u)
        rows.append(h)
    return np.array(rows)


def inputs(time: Any = "time") -> tuple[Any, Any]:
    return sg.input("x", (time, "batch", 4), sg.float64), sg.input("h", ("batch", 5), sg.float64)


def test_both_worlds_are_the_loop_written_out():
    w, u = weights()
    expected = unrolled(X, H, w.numpy(), u.numpy())
    last, ys = recurrent(sg.tensor(X), sg.tensor(H), w, u)
    np.testing.assert_allclose(ys.data, expected, rtol=1e-12)
    np.testing.assert_allclose(last.data, expected[-1], rtol=1e-12)
    x, h = inputs()
    f = sg.function([x, h], recurrent(x, h, w, u))
    for time, batch in [(6, 3), (1, 3), (4, 1), (23, 9)]:
        a, b = RNG.standard_normal((time, batch, 4)), RNG.standard_normal((batch, 5))
        expected = unrolled(a, b, w.numpy(), u.numpy())
        last, ys = f(a, b)
        np.testing.assert_allclose(ys, expected, rtol=1e-10)
        np.testing.assert_allclose(last, expected[-1], rtol=1e-10)


def test_backwards_is_the_loop_over_flipped_rows():
    w, u = weights()
    x, h = inputs()
    f = sg.function([x, h], recurrent(x, h, w, u, reverse=True))
    last, ys = f(X, H)
    expected = unrolled(X[::-1], H, w.numpy(), u.numpy())
    np.testing.assert_allclose(ys, expected[::-1], rtol=1e-10)
    np.testing.assert_allclose(last, expected[-1], rtol=1e-10)


def test_no_steps_give_the_first_carry_and_nothing():
    w, u = weights()
    none = np.zeros((0, 3, 4))
    last, ys = recurrent(sg.tensor(none), sg.tensor(H), w, u)
    assert ys.shape == (0, 3, 5) and np.array_equal(last.data, H)
    x, h = inputs()
    fixed, _ = inputs(0)
    for f in (sg.function([x, h], recurrent(x, h, w, u)), sg.function([fixed, h], recurrent(fixed, h, w, u))):
        last, ys = f(none, H)
        assert ys.shape == (0, 3, 5) and np.array_equal(last, H)


def test_a_number_of_steps_that_turns_out_to_be_none():
    """One less than the rows: the native loop itself runs no step."""
    w, u = weights()
    x, h = inputs()
    _, ys = recurrent(x[1:], h, w, u)
    last, _ = recurrent(x[1:], h, w, u, reverse=True)
    f = sg.function([x, h], (ys, last, sg.grad(sg.sum(ys) + sg.sum(last * last), [x, h, u])))
    for time in (1, 2, 6):
        found, last, gradients = f(X[:time], H)
        rows, first = sg.tensor(X[:time], requires_grad=True), sg.tensor(H, requires_grad=True)
        _, eager_ys = recurrent(rows[1:], first, w, u)
        eager_last, _ = recurrent(rows[1:], first, w, u, reverse=True)
        np.testing.assert_allclose(found, eager_ys.data, rtol=1e-10)
        np.testing.assert_allclose(last, eager_last.data, rtol=1e-10)
        loss = sg.sum(eager_ys) + sg.sum(eager_last * eager_last)
        for got, wanted in zip(gradients, sg.grad(loss, [rows, first, u]), strict=True):
            np.testing.assert_allclose(got, wanted.data, rtol=1e-9, atol=1e-12)


def test_structures_of_any_kind():
    def body(carry: dict[str, Any], row: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        a, (b, _) = carry["a"], carry["rest"]
        return {"a": a + row[0], "rest": (b * row[1], None)}, {"sum": a, "both": (b, a * b)}

    init = {"a": np.zeros(3), "rest": (np.ones(3), None)}
    rows = [RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))]
    eager_last, eager_ys = sg.scan(body, init, [sg.tensor(r) for r in rows])
    symbols = [sg.input(n, (4, 3), sg.float64) for n in "pq"]
    last, ys = sg.scan(body, init, symbols)
    outputs = {"a": last["a"], "b": last["rest"][0], "both": ys["both"], "sum": ys["sum"]}
    got = sg.function(symbols, outputs)(*rows)
    assert last["rest"][1] is None and set(ys) == {"sum", "both"} and isinstance(ys["both"], tuple)
    np.testing.assert_allclose(got["a"], eager_last["a"].data, rtol=1e-12)
    np.testing.assert_allclose(got["b"], eager_last["rest"][0].data, rtol=1e-12)
    np.testing.assert_allclose(got["both"][1], eager_ys["both"][1].data, rtol=1e-12)
    np.testing.assert_allclose(got["sum"], eager_ys["sum"].data, rtol=1e-12)


def test_a_number_of_steps_without_rows():
    x = sg.input("x", (), sg.float64)
    last, ys = sg.scan(lambda c, _: (c * x, c), np.ones(()), length=5)
    f = sg.function([x], (last, ys))
    assert np.allclose(f(np.asarray(2.0))[0], 32) and np.allclose(f(np.asarray(2.0))[1], [1, 2, 4, 8, 16])
    last, ys = sg.scan(lambda c, _: (c * 2.0, None), sg.tensor(1.0), length=5)
    assert last.item() == 32 and ys is None


def test_symbols_around_a_body_of_arrays_make_it_static():
    x = sg.input("x", (), sg.float64)
    last, _ = sg.scan(lambda c, row: (c + x * row, None), np.zeros(()), np.arange(4.0))
    assert sg.function([x], last)(np.asarray(0.5)) == 3.0


def test_training_a_captured_parameter_in_the_step_that_reads_it():
    """Forward, backward and the update in one function: every old value is read before it is overwritten."""
    x, h = inputs()
    w, u = weights()
    we, ue = weights()
    _, ys = recurrent(x, h, w, u)
    loss = sg.mean(ys * ys)
    updates = optim.SGD(0.5, momentum=0.9).minimize(loss, [w, u])
    step = sg.function([x, h], loss, updates, training=True)
    velocity = [np.zeros_like(p.numpy()) for p in (we, ue)]
    for _ in range(4):
        _, ys = recurrent(sg.tensor(X), sg.tensor(H), we, ue)
        value = sg.mean(ys * ys)
        gradients = sg.grad(value, [we, ue])
        assert np.allclose(step(X, H), value.item(), rtol=1e-10)
        for p, v, g in zip((we, ue), velocity, gradients, strict=True):
            v[...] = 0.9 * v + g.data
            p.assign(p.numpy() - 0.5 * v)
    np.testing.assert_allclose(w.numpy(), we.numpy(), rtol=1e-9)
    np.testing.assert_allclose(u.numpy(), ue.numpy(), rtol=1e-9)


def test_a_state_can_be_the_carry():
    """A hidden state that lives between calls: read as the first carry, updated to the last."""
    memory = sg.state("memory", np.zeros((3, 5)))
    w, u = weights()
    x3 = sg.input("x", ("time", 3, 4), sg.float64)
    last, ys = recurrent(x3, memory, w, u)
    f = sg.function([x3], ys, {memory: last})
    whole = unrolled(np.concatenate([X, X[:5]]), np.zeros((3, 5)), w.numpy(), u.numpy())
    np.testing.assert_allclose(f(X), whole[:6], rtol=1e-10)
    np.testing.assert_allclose(f(X[:5]), whole[6:], rtol=1e-10)
    np.testing.assert_allclose(memory.numpy(), whole[-1], rtol=1e-10)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.4)

    def forward(self, x: Any) -> Any:
        def body(h: Any, row: Any) -> tuple[Any, Any]:
            kept = self.drop(row)
            return self.drop(h * 0.5 + kept), kept

        before = self.drop(x)
        last, ys = sg.scan(body, before[0], before)
        return self.drop(last), ys


def test_dropout_draws_anew_in_each_step_and_the_same_bits_in_both_worlds():
    x = sg.input("x", ("time", 64), sg.float64)
    rows = np.ones((5, 64))
    sg.seed(3)
    static = Noisy()
    f = sg.function([x], static(x), training=True)
    sg.seed(3)
    eager = Noisy()
    for _ in range(3):
        last, ys = f(rows)
        eager_last, eager_ys = eager(sg.tensor(rows))
        assert np.array_equal(last, eager_last.data) and np.array_equal(ys, eager_ys.data)
    assert len({row.tobytes() for row in ys != 0}) == 5, "a mask came twice"
    predict = sg.function([x], static(x))
    assert np.array_equal(predict(rows)[1], rows)


def test_gradients_flow_through_dropout_in_a_loop():
    x = sg.input("x", ("time", 7), sg.float64)
    rows = RNG.standard_normal((5, 7))
    found = []
    for world in ("static", "eager"):
        sg.seed(5)
        model = Noisy()
        value = x if world == "static" else sg.tensor(rows, requires_grad=True)
        last, ys = model(value)
        gradient = sg.grad(sg.sum(last * last) + sg.sum(sg.sin(ys)), value)
        found.append(sg.function([x], gradient, training=True)(rows) if world == "static" else gradient.data)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_a_gradient_inside_the_body():
    """Newton's iteration: the body asks for a derivative, also of what it captures."""
    x = sg.input("x", (3,), sg.float64)

    def newton(root: Any, _: None) -> tuple[Any, None]:
        value = root * root - x
        return root - value / sg.grad(sg.sum(value), root), None

    last, _ = sg.scan(newton, sg.constant(np.ones(3)), length=30)
    slope = sg.grad(sg.sum(last), x)
    root, found = sg.function([x], (last, slope))(np.array([2.0, 9.0, 0.25]))
    np.testing.assert_allclose(root, [np.sqrt(2), 3, 0.5], rtol=1e-12)
    np.testing.assert_allclose(found, 0.5 / root, rtol=1e-9)


def test_an_index_out_of_range_in_a_step_changes_nothing():
    table = nn.Parameter(RNG.standard_normal((4, 2)))
    count = sg.state("count", np.zeros((), np.int64))
    i = sg.input("i", ("n",), sg.int64)
    last, _ = sg.scan(lambda h, i: (h + sg.take(table, i), None), np.zeros(2), i)
    f = sg.function([i], last, {count: count + 1})
    np.testing.assert_allclose(f(np.array([0, 3, -1])), table.numpy()[[0, 3, 3]].sum(0), rtol=1e-12)
    with pytest.raises(sg.InputError, match=r"an index is 9, outside \[0, 4\)(.|\n)*test_scan.py"):
        f(np.array([0, 9, 1]))
    assert count.numpy() == 1


def test_saved_exported_and_drawn(tmp_path):
    w, u = weights()
    x, h = inputs()
    f = sg.function([x, h], recurrent(x, h, w, u, reverse=True), name="loop")
    expected = f(X, H)
    f.save(tmp_path / "f.sg")
    f.export(tmp_path, name="loop")
    library = sg.load_library(tmp_path / "libloop.so")
    for got in (sg.load(tmp_path / "f.sg")(X, H), library(X, H)):
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
    assert "graph @1" in f.text("written")
    assert "scan" in f.draw(tmp_path / "f.svg", stage="written").read_text()
    loaded = sg.load(tmp_path / "f.sg")
    assert len(loaded.report().launches) == len(f.report().launches), "still one loop after loading"
    assert f.profile(X, H).launches


def test_any_number_of_threads_gives_the_same_bits():
    w = nn.Parameter(np.random.default_rng(2).standard_normal((160, 160)).astype(np.float32) * 0.05)
    x = sg.input("x", ("time", 96, 160))
    rows = RNG.standard_normal((7, 96, 160)).astype(np.float32)

    def cell(h: Any, row: Any) -> tuple[Any, Any]:
        h = sg.tanh(h @ w + row)
        return h, h

    _, ys = sg.scan(cell, np.zeros((96, 160), np.float32), x)
    results = (ys, sg.grad(sg.sum(ys * ys), w))
    one, two = (sg.function([x], results, threads=n)(rows) for n in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


ERRORS = {
    "a carry keeps its type": lambda x: sg.scan(lambda c, r: (c[:2], r), np.zeros(3), x),
    "changes its structure": lambda x: sg.scan(lambda c, r: ((c, c), r), np.zeros(3), x),
    "returns .carry, y.": lambda x: sg.scan(lambda c, r: c + r, np.zeros(3), x),
    "without xs the number of steps": lambda x: sg.scan(lambda c, r: (x[0], c), np.zeros(3)),
    "differ in length": lambda x: sg.scan(lambda c, r: (c, c), np.zeros(3), (x, np.zeros((9, 3)))),
    "no first axis": lambda x: sg.scan(lambda c, r: (c, c), x, np.zeros(())),
    "matmul": lambda x: sg.scan(lambda c, r: (c @ r, c), np.zeros((3, 3)), x),
}


@pytest.mark.parametrize("message", ERRORS)
@pytest.mark.parametrize("world", ["static", "eager"])
def test_errors_name_the_line(message, world):
    x = sg.input("x", (4, 3), sg.float64) if world == "static" else sg.tensor(np.ones((4, 3)))
    with pytest.raises(sg.SymgraphError, match=message) as caught:
        ERRORS[message](x)
    assert "test_scan.py" in str(caught.value)


def test_a_carry_of_another_dtype_is_refused():
    x = sg.input("x", (4, 3), sg.float64)
    with pytest.raises(sg.DTypeError, match="carry changes its type, f32"):
        sg.scan(lambda c, r: (c + r, c), np.zeros(3, np.float32), x)
