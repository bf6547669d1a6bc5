"""Faults: wrong graphs, threads, processes, interruptions, depth, names, disks (arrays: test_arrays.py)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim

F32 = np.float32
X = sg.input("x", ("batch", 4))
DOUBLE = sg.function([X], X * 2.0, name="double")
GOOD = np.arange(12, dtype=F32).reshape(3, 4)


# --- graphs ---------------------------------------------------------------------------------------


def test_an_undeclared_input_is_named():
    hidden = sg.input("hidden", ("batch", 4))
    with pytest.raises(sg.GraphError, match=r"input 'hidden', which is not among the inputs"):
        sg.function([X], X + hidden)


def test_two_inputs_of_one_name_and_things_that_are_no_input():
    with pytest.raises(sg.GraphError, match="two inputs are named 'x'"):
        sg.function([X, sg.input("x", (3,))], X)
    with pytest.raises(sg.GraphError, match=r"inputs are made by sg\.input"):
        sg.function([X * 2.0], X)
    with pytest.raises(sg.GraphError, match="expected a Symbol"):
        sg.function([X], 3)


def test_updates_of_what_is_no_state():
    with pytest.raises(sg.GraphError, match="only a parameter or a state"):
        sg.function([X], X, updates={X: X})
    w = nn.Parameter(np.zeros(3, F32), "w")
    with pytest.raises(sg.GraphError, match=r"update of w: its type is f32\[3\]"):
        sg.function([X], X, updates={w: sg.sum(X, axis=0)})


def test_a_parameter_in_two_graphs():
    w = nn.Parameter(np.ones((4, 2), F32), "w")
    loss = sg.sum(X @ w)
    predict = sg.function([X], X @ w)
    step = sg.function([X], loss, updates={w: w - 0.5 * sg.grad(loss, w)})
    other = sg.function([sg.input("z", (4,))], sg.sum(w))
    before = w.numpy()
    assert step(GOOD) == pytest.approx((GOOD @ before).sum())
    after = before - 0.5 * GOOD.sum(0)[:, None]
    np.testing.assert_allclose(w.numpy(), after, rtol=1e-6)
    np.testing.assert_allclose(predict(GOOD), GOOD @ after, rtol=1e-6)
    assert other(np.zeros(4, F32)) == pytest.approx(after.sum())
    w.assign(np.zeros((4, 2), F32))
    assert not predict(GOOD).any()
    with pytest.raises(sg.StateError, match=r"w: expected shape \(4, 2\), got \(2, 4\)"):
        w.assign(np.zeros((2, 4), F32))


def test_symbols_are_no_arrays_and_no_conditions():
    for wrong in (
        lambda: bool(X),
        lambda: np.asarray(X),
        lambda: float(X),
        lambda: list(X),
        lambda: np.exp(X),
    ):
        with pytest.raises(TypeError, match="Symbol"):
            wrong()


# --- F16, F17, F18: threads, processes, interruptions ---------------------------------------------


def test_many_threads_call_one_function():
    w = nn.Parameter(np.random.default_rng(0).standard_normal((4, 64)).astype(F32))
    f = sg.function([X], nn.softmax(nn.layer_norm(X @ w) @ w.T), threads=2)
    batches = [np.random.default_rng(i).standard_normal((i + 1, 4)).astype(F32) for i in range(8)]
    expected = [f(b) for b in batches]
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(200):
            if not np.array_equal(f(batches[number]), expected[number]):
                wrong.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


def test_updates_from_many_threads_are_all_made():
    count = sg.state("count", np.zeros((), np.int64))
    f = sg.function([], updates={count: count + 1})
    threads = [threading.Thread(target=lambda: [f() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count.numpy() == 2000


def test_four_threads_compile_at_once():
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        x = sg.input("x", ("n", 4))
        found[number] = sg.function([x], sg.exp(x * float(number)) + number)(GOOD)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, value in found.items():
        np.testing.assert_allclose(value, np.exp(GOOD.astype(np.float64) * number) + number, rtol=1e-6)
    assert len(found) == 4


def _child(queue) -> None:
    queue.put(DOUBLE(GOOD).tolist())
    x = sg.input("x", ("n", 4))
    queue.put(sg.function([x], sg.sum(x), threads=2)(GOOD).item())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_runs_and_compiles():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_child, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == (GOOD * 2).tolist()
    assert queue.get(timeout=60) == GOOD.sum()
    process.join(60)
    assert process.exitcode == 0


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np, symgraph as sg
from symgraph import nn, optim
rng = np.random.default_rng(0)
x, y = sg.input("x", ("n", 32)), sg.input("y", ("n",), sg.int64)
model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm(64), nn.ReLU(), nn.Linear(64, 10))
steps = sg.state("steps", np.zeros((), np.int64))
loss = nn.cross_entropy(model(x), y)
updates = dict(optim.Adam(1e-3).minimize(loss, model.parameters()))
updates[steps] = steps + 1
step = sg.function([x, y], loss, updates=updates, training=True)
X, Y = rng.standard_normal((64, 32)).astype(np.float32), rng.integers(0, 10, 64)
threading.Thread(target=lambda: (time.sleep(0.2), os.kill(os.getpid(), signal.SIGINT))).start()
started = time.monotonic()
try:
    while time.monotonic() - started < 30:
        step(X, Y)
    print("never interrupted")
except KeyboardInterrupt:
    late = time.monotonic() - started
    done, state = int(steps.numpy()), {k: np.asarray(v).copy() for k, v in model.state_dict().items()}
    tracked = next(v for k, v in state.items() if "num_batches" in k)
    finite = all(np.isfinite(v).all() for v in state.values())
    print("interrupted", late < 2, done > 0, int(tracked) == done, finite)
    step(X, Y)
    print(int(steps.numpy()) == done + 1)
"""


def test_control_c_arrives_between_two_steps():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["interrupted True True True True", "True"], (
        done.stdout + done.stderr
    )


def test_the_interpreter_exits_while_a_function_runs_in_a_thread():
    code = (
        "import threading, numpy as np, symgraph as sg\n"
        "x = sg.input('x', ('n', 512))\n"
        "f = sg.function([x], sg.sum(sg.tanh(x @ x.T)), threads=2)\n"
        "a = np.ones((512, 512), np.float32)\n"
        "threading.Thread(target=lambda: [f(a) for _ in range(10**6)], daemon=True).start()\n"
        "f(a)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- F20, F21: depth ------------------------------------------------------------------------------


def test_a_deep_chain_in_the_static_world():
    x = sg.input("x", (), sg.float64)
    y = x
    for _ in range(3000):
        y = y * 1.0001
    start = time.perf_counter()
    f = sg.function([x], (y, sg.grad(y, x)))
    value, slope = f(np.float64(2.0))
    assert value == pytest.approx(2.0 * 1.0001**3000) and slope == pytest.approx(1.0001**3000)
    assert time.perf_counter() - start < 60
    assert len(f.text("written")) > 3000 and pickle.dumps(value)


def test_a_deep_chain_on_the_tape():
    x = sg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.backward()
    assert x.grad == 1.0


def test_a_wide_sum():
    x = sg.input("x", (3,), sg.float64)
    parts = [x * float(i) for i in range(500)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    f = sg.function([x], (total, sg.grad(sg.sum(total), x)))
    value, slope = f(np.ones(3))
    assert value.tolist() == [124750.0] * 3 and slope.tolist() == [124750.0] * 3


def test_a_diamond_of_a_hundred_steps():
    x = sg.tensor(1.0, dtype=sg.float64, requires_grad=True)
    y = x
    for _ in range(100):
        y = y + y
    y.backward()
    assert x.grad == 1.2676506002282294e30


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "v3", "context", "args", "workspace", "out", 'quote"', "new\nline", "nul\0", "\N{SNOWMAN}", "int",
    "*/ int x; /*", '"]; evil [label="x', "x" * 10_000, "%1", "a.b", "",
])  # fmt: skip
def test_any_name_of_an_input(name):
    if not name:
        with pytest.raises(TypeError, match="non-empty string"):
            sg.input(name, (3,))
        return
    x, same = sg.input(name, ("n",)), sg.input("a_b", ("n",))
    f = sg.function([x, same], {"1 \n": x + same}, name=name)
    assert f(np.ones(3, F32), np.ones(3, F32))["1 \n"].tolist() == [2.0] * 3
    with pytest.raises(sg.InputError):
        f(np.ones((3, 3), F32), np.ones(3, F32))


@pytest.mark.parametrize("dim", ["share", "block", "part", "i0", "v1", "z", "n", "b0", "self", "batch", "é"])
def test_any_name_of_a_dimension(dim):
    """Loops and temporaries of the generated code have names too; none of them may meet a dimension's."""
    x = sg.input("x", (dim, 5))
    w = nn.Parameter(np.ones((5, 2), F32))
    f = sg.function(
        [x], (x + 1.0, sg.sum(x, axis=0), sg.mean(x, axis=1), nn.batch_norm(x), x @ w, sg.exp(x)[1:])
    )
    array = np.arange(15, dtype=F32).reshape(3, 5) / 10
    wide = array.astype(np.float64)
    norm = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    expected = (wide + 1, wide.sum(0), wide.mean(1), norm, wide @ np.ones((5, 2)), np.exp(wide)[1:])
    for got, exact in zip(f(array), expected, strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-6)


def test_disk_trouble_of_the_cache_is_no_trouble(tmp_path):
    """No home, a file in place of the folder, a full disk: compiled anew, not failed."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = (
        "import numpy as np, symgraph as sg\n"
        "x = sg.input('x', ('n',))\n"
        "print(sg.function([x], sg.exp(x) * 3.0)(np.zeros(2, np.float32)).tolist())\n"
    )
    for folder in (str(blocked), "/dev/full", "/proc/nowhere", str(tmp_path / "new" / "deep")):
        environment = {**os.environ, "SYMGRAPH_CACHE_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment
        )
        assert (done.stdout.strip(), done.stderr) == ("[3.0, 3.0]", ""), folder


def test_signals_are_left_as_they_were():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_optimizer_of_nothing():
    with pytest.raises((sg.GradientError, sg.GraphError, sg.StateError, ValueError)):
        optim.SGD(0.1).minimize(sg.sum(X), [])
