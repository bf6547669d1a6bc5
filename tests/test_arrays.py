"""Arrays that a compiled function is handed: what fits in any memory order, and what is refused by name."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn

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
    with pytest.raises(sg.InputError, match="there is no 'z'"):
        PAIR(GOOD, z=labels)
    with pytest.raises(sg.InputError, match="input 'y' is missing"):
        PAIR(x=GOOD)
    with pytest.raises(sg.InputError, match="by its place and by its name"):
        PAIR(GOOD, x=GOOD)


def test_lists_numbers_and_arrays_of_other_libraries_that_fit_are_taken():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return GOOD

    s = sg.input("s", ())
    twice = sg.function([s], s + s)
    assert twice(2.0) == twice(2) == twice(np.float32(2.0)) == 4.0
    np.testing.assert_array_equal(DOUBLE(GOOD.tolist()), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(Other()), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(sg.tensor(GOOD)), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(memoryview(GOOD)), GOOD * 2)
    np.testing.assert_array_equal(DOUBLE(GOOD.astype(">f4")), GOOD * 2)


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
    for function in (DOUBLE, sg.function([X], sg.tanh(X @ X.T))):
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
    f = sg.function(
        [X],
        (hidden, sg.sum(hidden), sg.sum(hidden, axis=0), sg.prod(hidden), loss, sg.grad(sg.sum(hidden), w)),
    )
    rows, total, columns, product, mean, gradient = f(np.zeros((0, 4), F32))
    assert rows.shape == (0, 3) and total == 0 and product == 1
    assert columns.tolist() == [0.0] * 3 and np.isnan(mean)
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))
    assert f(GOOD)[0].shape == (3, 3)


def test_an_empty_inner_dimension_is_a_sum_of_nothing():
    x, y = sg.input("x", ("n", 0)), sg.input("y", (0, 3))
    np.testing.assert_array_equal(
        sg.function([x, y], x @ y)(np.zeros((2, 0), F32), np.zeros((0, 3), F32)), np.zeros((2, 3))
    )


def test_the_largest_of_nothing():
    with pytest.raises(sg.ShapeError, match=r"max.*no elements"):
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
    with pytest.raises(sg.NumericsError, match=r"log.*infinity[\s\S]*test_arrays.py") as raised:
        f(GOOD)
    assert f":{y.node.location.line} " in str(raised.value)


def test_check_numerics_of_a_training_step():
    w = nn.Parameter(np.zeros((4, 1), F32), "w")
    loss = sg.sum(sg.sqrt(sg.square(X @ w)))
    f = sg.function([X], loss, updates={w: w - sg.grad(loss, w)}, check_numerics=True)
    with pytest.raises(sg.NumericsError, match=r"infinity|NaN"):
        f(GOOD)
    assert not w.numpy().any()


# --- F9: shapes that cannot be --------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [(2**62, 4), (2**31, 2**31, 2**31), (-1,), (1.5,), (2**63,), (None,), ("a b",), (True,), "no name"],
)
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
    with pytest.raises(sg.ShapeError, match=r"test_arrays\.py:\d+"):
        build()


def test_dtypes_that_do_not_mix_name_the_users_line():
    with pytest.raises(sg.DTypeError, match=r"cannot mix float32 and int64[\s\S]*test_arrays\.py"):
        X + Y[0]
    with pytest.raises(sg.DTypeError, match="expected"):
        sg.exp(Y)
    with pytest.raises(sg.DTypeError, match="float16"):
        sg.input("x", (3,), np.float16)


def test_a_call_of_a_plain_function_is_the_native_entry_and_what_that_declines_still_works():
    x = sg.input("x", (3,))
    f = sg.function([x], x * 2.0)
    assert f._direct is f._native.entry
    values = np.arange(3, dtype=np.float32)
    for call in (f(values), f([0.0, 1.0, 2.0]), f(x=values), f(values[::-1])[::-1]):
        np.testing.assert_array_equal(call, values * 2)
    with pytest.raises(sg.InputError):
        f(np.arange(4, dtype=np.float32))
    total = sg.state("total", np.zeros(3, np.float32))
    pair = sg.function([x], (x, x + 1.0))
    adding = sg.function([x], x, updates={total: total + x})
    checked = sg.function([x], x, check_numerics=True)
    assert pair._direct is adding._direct is checked._direct is None
    adding(values), adding(values)
    np.testing.assert_array_equal(total.numpy(), values * 2)
