"""Sizes beyond what the random programs reach: several shares, parts and column blocks, and two threads.

Each case is checked like a random program (eager, float64, noise), and its results must be the same bits on
one thread and on two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.driver import compile_graph
from symgraph.types import TensorType, as_shape, float32, float64, int64
from tests.random_check import called, check
from tests.random_program import Leaf, Line, Program, input_arrays, write

# (expression over x, w and b; shapes of x, w and b; n, the size of the named dimension)
CASES = {
    "one long row": ("sg.tanh(x0) * 2.0 + x0", [(70_001,)], 1),
    "sum of a long row": ("sg.sum(sg.exp(x0 * 0.1))", [(70_001,)], 1),
    "named rows, elementwise": ("sg.sigmoid(x0) * x1", [("n", 129), (129,)], 601),
    "rows of a norm": ("nn.layer_norm(x0, x1, x2)", [("n", 257), (257,), (257,)], 301),
    "rows too long for the stack": ("nn.softmax(x0)", [("n", 9001)], 9),
    "columns of a norm": ("nn.batch_norm(x0, x1, x2)", [("n", 131), (131,), (131,)], 517),
    "more columns than a block": ("nn.batch_norm(x0)", [("n", 1100)], 67),
    "columns of images": ("nn.batch_norm(x0, x1, x2)", [("n", 5, 13, 17), (5,), (5,)], 33),
    "groups": ("nn.group_norm(x0, 3, x1, x2)", [("n", 6, 11, 13), (6,), (6,)], 41),
    "columns summed": ("sg.sum(x0 * x0, axis=0)", [("n", 700)], 300),
    "middle axis": ("sg.max(x0, axis=1) + sg.mean(x0, axis=1)", [(40, 33, 70)], 1),
    "rows and columns": ("sg.sum(x0, axis=1, keepdims=True) * sg.sum(x0, axis=0) * 0.01", [("n", 260)], 270),
    "wide product": ("nn.relu(x0 @ x1 + x2)", [("n", 513), (513, 129), (129,)], 257),
    "tall product": ("x0 @ x1", [("n", 33), (33, 17)], 3001),
    "deep product": ("x0 @ x1", [(7, 5000), (5000, 9)], 1),
    "one row": ("x0 @ x1", [(1, 1030), (1030, 515)], 1),
    "one column": ("x0 @ x1", [("n", 515), (515,)], 1031),
    "batched product": ("x0 @ sg.permute_dims(x1, (0, 2, 1))", [(5, "n", 65), (5, 70, 65)], 129),
    "attention": (
        "nn.softmax(x0 @ sg.permute_dims(x1, (0, 2, 1)) * 0.1) @ x1", [(3, "n", 33), (3, 65, 33)], 130),
    "joined and cut": ("sg.concat([x0[:, 1:], x1], axis=1)[:, ::2]", [("n", 200), ("n", 101)], 401),
    "transposed": ("sg.exp(x0.T) + x1", [("n", 300), (300, "n")], 205),
}  # fmt: skip


def program(name: str, dtype=float32) -> Program:
    text, shapes, n = CASES[name]
    leaves = tuple(Leaf(f"x{i}", "input", TensorType(as_shape(s), dtype)) for i, s in enumerate(shapes))
    lines = (Line("v0", text, TensorType((), dtype)),)
    wanted = tuple(leaf.name for leaf in leaves)
    return Program(1, leaves, lines, ("v0",), ("v0",), wanted, sizes=({"n": n},), threads=2)


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward(name):
    assert not check(program(name))


@pytest.mark.parametrize("name", ["wide product", "rows of a norm", "columns of a norm", "attention"])
def test_in_float64(name):
    assert not check(program(name, float64))


@pytest.mark.parametrize("name", CASES)
def test_one_thread_and_two_give_the_same_bits(name):
    found = []
    for threads in (1, 2):
        trial = replace(program(name), threads=threads)
        written = write(trial)
        compiled = compile_graph(written.graph, "f", list(written.labels), trial.options, threads=threads)
        found.append(called(written, compiled, input_arrays(trial, trial.sizes[0])))
    for label, value in found[0].items():
        np.testing.assert_array_equal(found[1][label], value, err_msg=label)


def test_many_rows_scattered_into_few():
    leaves = (
        Leaf("x0", "input", TensorType(as_shape(("n", 33)), float32)),
        Leaf("x1", "input", TensorType(as_shape(("n",)), int64), high=7),
    )
    line = Line(
        "v0", "sg.scatter_add(x0, x1, (7, 33)) + sg.sum(sg.take(x0[:7], x1), axis=0)", TensorType((), float32)
    )
    assert not check(Program(2, leaves, (line,), ("v0",), ("v0",), ("x0",), sizes=({"n": 2001},), threads=2))
