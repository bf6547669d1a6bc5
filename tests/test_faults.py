"""Bad input and faults: a clear error that names the input and the user's line, or the right result."""

from __future__ import annotations

import hashlib
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
Y = sg.input("y", ("batch",), sg.int64)
DOUBLE = sg.function([X], X * 2.0, name="double")
PAIR = sg.function([X, Y], sg.sum(X) + sg.sum(sg.cast(Y, sg.float32)), name="pair")
GOOD = np.arange(12, dtype=F32).reshape(3, 4)


# --- F12: what is not an array of the declared kind -----------------------------------------------

REFUSED = {
    "wrong rank, too few": (np.ones(4, F32), r"f32\[batch, 4\].*f32\[4\]"),
    "wrong rank, too many": (np.ones((1, 3, 4), F32), r"f32\[1, 3, 4\]"),
    "a scalar": (np.float32(1.0), r"f32\[\]"),
    "wrong static size": (np.ones((3, 5), F32), r"f32\[3, 5\]"),
    "float64": (np.ones((3, 4)), r"f64\[3, 4\].*astype\('float32'\)"),
    "float16": (np.ones((3, 4), np.float16), "float16"),
    "int64": (np.ones((3, 4), np.int64), r"i64\[3, 4\]"),
    "int32": (np.ones((3, 4), np.int32), r"i32\[3, 4\]"),
    "int8": (np.ones((3, 4), np.int8), "int8"),
    "uint64": (np.ones((3, 4), np.uint64), "uint64"),
    "bool": (np.ones((3, 4), bool), r"bool\[3, 4\]"),
    "complex64": (np.ones((3, 4), np.complex64), "complex64"),
    "objects": (np.full((3, 4), None), "object"),
    "strings": (np.full((3, 4), "a"), "got"),
    "dates": (np.zeros((3, 4), "datetime64[s]"), "datetime64"),
    "records": (np.zeros((3, 4), [("a", F32)]), "got"),
    "None": (None, "None"),
    "a string": ("abc", "'abc'"),
    "bytes": (b"abc", "got"),
    "a dict": ({}, "dict"),
    "a set": ({1.0}, "set"),
    "a generator": ((i for i in range(3)), "generator"),
    "an object": (object(), "object"),
    "a ragged list": ([[1.0, 2.0], [3.0]], "got"),
    "a list of strings": ([["1"] * 4], "got"),
    "a complex number": (1j, "got"),
    "a masked array": (np.ma.masked_array(GOOD, GOOD > 3), "masked array"),
    "a list that is too wide": ([[1.0] * 5], r"f32\[1, 5\]|\[1, 5\]"),
    "float64 too large for float32": ([[1e300] * 4], "cannot hold"),
    "a Symbol": (X, "got"),
    "a type": (F32, "got"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_by_name(name):
    value, expected = REFUSED[name]
    with pytest.raises((sg.InputError, TypeError), match=expected) as raised:
        DOUBLE(value)
    assert "'x'" in str(raised.value) or isinstance(raised.value, TypeError)
    np.testing.assert_array_equal(DOUBLE(GOOD), GOOD * 2)  # and the function still works


def test_each_of_several_inputs_is_named():
    with pytest.raises(sg.InputError, match=r"'y'.*i64\[batch\].*f32\[3\]"):
        PAIR(GOOD, np.ones(3, F32))
    with pytest.raises(sg.InputError, match=r"batch is 3.*'x'"):
        PAIR(GOOD, np.ones(4, np.int64))


@pytest.mark.parametrize("arrays", [(), (GOOD,), (GOOD, np.ones(3, np.int64), GOOD)])
def test_missing_and_surplus_inputs(arrays):
    with pytest.raises(sg.InputError, match=rf"pair takes 2 arrays.*got {len(arrays)}"):
        PAIR(*arrays)


def test_inputs_by_name():
    labels = np.ones(3, np.int64)
    assert PAIR(GOOD, y=labels) == PAIR(y=labels, x=GOOD) == PAIR(GOOD, labels)
    with pytest.raises(sg.InputError, match="no further input 'z'"):
        PAIR(GOOD, z=labels)
    with pytest.raises(sg.InputError, match="input 'y' is missing"):
        PAIR(x=GOOD)
    with pytest.raises(sg.InputError, match="no further input 'x'"):
        PAIR(GOOD, x=GOOD)


def test_lists_numbers_and_arrays_of_other_libraries_that_fit_are_taken():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return GOOD

    scalar = sg.function([sg.input("s", ())], sg.input("s", ()) if False else sg.constant(1.0))
    assert scalar(2.0) == 1.0
    np.testing.assert_array_equal(DOUBLE(GOOD.tolist()), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(Other()), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(sg.tensor(GOOD)), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(memoryview(GOOD)), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(GOOD.astype(">f4")), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(GOOD.view(np.matrix) if False else np.asmatrix(GOOD)), GOOD * 2)


# --- F13: memory in any order ---------------------------------------------------------------------


def unaligned() -> np.ndarray:
    raw = np.zeros(GOOD.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(GOOD.tobytes(), np.uint8)
    return np.frombuffer(raw.data, F32, offset=1, count=12).reshape(3, 4)


def read_only() -> np.ndarray:
    array = GOOD.copy()
    array.flags.writeable = False
    return array


MEMORY = {
    "Fortran order": lambda: np.asfortranarray(GOOD),
    "a transposed view": lambda: np.ascontiguousarray(GOOD.T).T,
    "every second column": lambda: np.repeat(GOOD, 2, axis=1)[:, ::2],
    "negative strides": lambda: np.ascontiguousarray(GOOD[::-1, ::-1])[::-1, ::-1],
    "stride 0": lambda: np.broadcast_to(GOOD[0], (3, 4)),
    "unaligned": unaligned,
    "read-only": read_only,
    "a slice of a larger array": lambda: np.pad(GOOD, 2)[2:-2, 2:-2],
    "one row of many": lambda: np.stack([GOOD, GOOD])[1],
    "a subclass": lambda: GOOD.view(type("Sub", (np.ndarray,), {})),
    "no rows of a strided array": lambda: GOOD[::-1][3:],
    "big-endian": lambda: GOOD.astype(">f4"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_in_any_order_gives_the_same_bits(name):
    array = MEMORY[name]()
    before = hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()
    for function in (DOUBLE, sg.function([X], nn.softmax(X @ X.T))):
        np.testing.assert_array_equal(function(array), function(np.ascontiguousarray(array).astype(F32)))
    assert hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest() == before


def test_one_array_for_two_inputs_and_an_output_fed_back():
    other = sg.input("other", ("batch", 4))
    f = sg.function([X, other], (X - other, X * other))
    difference, product = f(GOOD, GOOD)
    assert not difference.any()
    np.testing.assert_array_equal(f(product, product)[1], product * product)
    overlapping = np.arange(20, dtype=F32).reshape(5, 4)
    np.testing.assert_array_equal(f(overlapping[:3], overlapping[1:4])[0], np.full((3, 4), -4.0))


# --- F15, F11, F14: results, empty batches, exceptional numbers -----------------------------------


def test_results_belong_to_the_caller():
    first = DOUBLE(GOOD)
    copy = first.copy()
    second = DOUBLE(GOOD + 1)
    np.testing.assert_array_equal(first, copy)
    second[...] = -1
    np.testing.assert_array_equal(DOUBLE(GOOD), copy)
    assert first.flags.owndata and first.flags.writeable and first.flags.c_contiguous


def test_empty_batches():
    w = nn.Parameter(np.ones((4, 3), F32), "w")
    hidden = nn.layer_norm(sg.tanh(X @ w))
    loss = nn.mse(hidden, sg.zeros_like(hidden))
    f = sg.function([X], (hidden, sg.sum(hidden), sg.sum(hidden, axis=0), sg.prod(hidden), loss, sg.grad(sg.sum(hidden), w)))
    rows, total, columns, product, mean, gradient = f(np.zeros((0, 4), F32))
    assert rows.shape == (0, 3) and total == 0 and product == 1
    assert columns.tolist() == [0.0] * 3 and np.isnan(mean)
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))
    assert f(GOOD)[0].shape == (3, 3)


def test_an_empty_inner_dimension_is_a_sum_of_nothing():
    x, y = sg.input("x", ("n", 0)), sg.input("y", (0, 3))
    np.testing.assert_array_equal(sg.function([x, y], x @ y)(np.zeros((2, 0), F32), np.zeros((0, 3), F32)), np.zeros((2, 3)))


def test_the_largest_of_nothing():
    with pytest.raises(sg.ShapeError, match="max.*no elements"):
        sg.max(sg.input("x", (0, 3)), axis=0)
    f = sg.function([X], sg.max(X, axis=0))
    with pytest.raises(sg.InputError, match="zero-size"):
        f(np.zeros((0, 4), F32))
    assert f(GOOD).tolist() == [8, 9, 10, 11]


def test_nan_and_infinities_pass():
    array = np.array([[np.nan, 1, -1, 0], [np.inf, -np.inf, 0, 1], [1, 2, 3, 4]], F32)
    f = sg.function([X], (nn.relu(X), sg.max(X, axis=1), nn.softmax(X), sg.maximum(X, 0.0), sg.isnan(X)))
    relu, largest, soft, above, test = f(array)
    assert np.isnan(relu[0, 0]) and np.isnan(above[0, 0]) and relu[1].tolist() == [np.inf, 0, 0, 1]
    assert np.isnan(largest[0]) and largest[1] == np.inf
    assert np.isnan(soft[:2]).all() and soft[2].sum() == pytest.approx(1)
    np.testing.assert_array_equal(test, np.isnan(array))


def test_no_fast_math_flag_is_ever_emitted():
    text = sg.function([X], nn.softmax(nn.batch_norm(X @ X.T))).text("llvm")
    words = set(text.replace(",", " ").split())
    assert not words & {"fast", "nnan", "ninf", "nsz", "arcp", "afn"}


def test_subnormal_numbers_are_not_flushed():
    tiny = np.full((3, 4), 1e-40, F32)
    assert (DOUBLE(tiny) == tiny * 2).all() and (tiny / F32(2) > 0).all()


def test_check_numerics_names_the_first_op_and_its_line():
    y = sg.log(X)  # this line
    f = sg.function([X], sg.sum(y * 2.0), check_numerics=True)
    assert np.isfinite(f(GOOD + 1))
    with pytest.raises(sg.NumericsError, match=r"log.*infinity[\s\S]*test_faults.py") as raised:
        f(GOOD)
    assert f":{y.node.location.line} " in str(raised.value)


def test_check_numerics_of_a_training_step():
    w = nn.Parameter(np.zeros((4, 1), F32), "w")
    loss = sg.sum(sg.sqrt(sg.square(X @ w)))
    f = sg.function([X], loss, updates={w: w - sg.grad(loss, w)}, check_numerics=True)
    with pytest.raises(sg.NumericsError, match="infinity|NaN"):
        f(GOOD)
    assert not w.numpy().any()


# --- F9: shapes that cannot be --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2**62, 4), (2**31, 2**31, 2**31), (-1,), (1.5,), (2**63,), (None,), ("a b",), (True,), "no name"])
def test_impossible_shapes_are_refused_when_declared(shape):
    with pytest.raises(sg.ShapeError):
        sg.input("x", shape)


def test_a_huge_result_is_a_memory_error_and_nothing_else():
    x = sg.input("x", (2**20,))
    f = sg.function([x], sg.expand_dims(x, 0) + sg.expand_dims(x, 1))
    with pytest.raises((MemoryError, sg.InputError)):
        f(np.zeros(2**20, F32))
    y = sg.input("y", ("n", "m"))
    g = sg.function([y], sg.sum(y @ y.T))
    assert g(np.ones((2, 3), F32)) == 12


@pytest.mark.parametrize("build", [
    lambda: sg.input("a", (3, 4)) @ sg.input("b", (5, 6)),
    lambda: sg.input("a", ("n", 4)) + sg.input("b", ("m", 4)),
    lambda: sg.input("a", (3,)) + sg.input("b", (4,)),
    lambda: sg.reshape(sg.input("a", (3, 4)), (5, -1)),
    lambda: sg.concat([sg.input("a", (3, 4)), sg.input("b", (4, 3))]),
    lambda: sg.sum(sg.input("a", (3,)), axis=1),
    lambda: sg.input("a", (3,))[5],
    lambda: sg.permute_dims(sg.input("a", (3, 4)), (0, 0)),
    lambda: nn.mse(sg.input("a", ("n", 1)), sg.input("b", ("n",))),
])  # fmt: skip
def test_shapes_that_do_not_fit_name_the_users_line(build):
    with pytest.raises(sg.ShapeError, match=r"test_faults\.py:\d+"):
        build()


def test_dtypes_that_do_not_mix_name_the_users_line():
    with pytest.raises(sg.DTypeError, match=r"cannot mix float32 and int64[\s\S]*test_faults\.py"):
        X + Y[0]
    with pytest.raises(sg.DTypeError, match="expected"):
        sg.exp(Y)
    with pytest.raises(sg.DTypeError, match="float16"):
        sg.input("x", (3,), np.float16)


# --- graphs ---------------------------------------------------------------------------------------


def test_an_undeclared_input_is_named():
    hidden = sg.input("hidden", ("batch", 4))
    with pytest.raises(sg.GraphError, match=r"input 'hidden', which is not among the inputs"):
        sg.function([X], X + hidden)


def test_two_inputs_of_one_name_and_things_that_are_no_input():
    with pytest.raises(sg.GraphError, match="two inputs are named 'x'"):
        sg.function([X, sg.input("x", (3,))], X)
    with pytest.raises(sg.GraphError, match="inputs are made by sg.input"):
        sg.function([X * 2.0], X)
    with pytest.raises(sg.GraphError, match="not a Symbol"):
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
    for wrong in (lambda: bool(X), lambda: np.asarray(X), lambda: float(X), lambda: list(X), lambda: np.exp(X)):
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
    print("interrupted", late < 2, done > 0, int(tracked) == done, all(np.isfinite(v).all() for v in state.values()))
    step(X, Y)
    print(int(steps.numpy()) == done + 1)
"""


def test_control_c_arrives_between_two_steps():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["interrupted True True True True", "True"], done.stdout + done.stderr


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
    "v3", "context", "args", "workspace", "out", 'quote"', "new\nline", "nul\0", "\N{SNOWMAN}", "int", "*/ int x; /*",
    '"]; evil [label="x', "x" * 10_000, "%1", "a.b", "",
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
    f = sg.function([x], (x + 1.0, sg.sum(x, axis=0), sg.mean(x, axis=1), nn.batch_norm(x), x @ w, sg.exp(x)[1:]))
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
    for folder in (str(blocked), "/dev/full", "/proc/nowhere", "\0" if False else str(tmp_path / "new" / "deep")):
        environment = {**os.environ, "SYMGRAPH_CACHE_DIR": folder}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
        assert (done.stdout.strip(), done.stderr) == ("[3.0, 3.0]", ""), folder


def test_signals_are_left_as_they_were():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_optimizer_of_nothing():
    with pytest.raises((sg.GradientError, sg.GraphError, sg.StateError, ValueError)):
        optim.SGD(0.1).minimize(sg.sum(X), [])
