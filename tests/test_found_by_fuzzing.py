"""Programs that random testing found to be compiled wrong, shrunk. Each says what was wrong."""

from __future__ import annotations

import pytest

from symgraph.types import TensorType, as_shape, float32, float64
from tests.random_check import check
from tests.random_program import Leaf, Line, Program

# Lines v0, v1, ... over inputs x0, x1, ...; the last one is the output, and its gradients are checked too.
FOUND = {
    "a value of the kernel read behind a concat, elsewhere than it is made": (
        [("n", 17)],
        ["sg.pad(x0, [(0, 2), (1, 2)])", "nn.softmax(v0)", "v1[:, ::2]", "sg.concat([v2, v2], axis=1)"],
    ),
    "a scalar read behind a pad by loops merged into one": (
        [(2, 2)],
        ["sg.max(x0, axis=None, keepdims=True)", "sg.pad(v0, [(1, 1), (1, 0)], 0)"],
    ),
    "a sum over one element left its kernel without what it sums": ([(1,)], ["nn.log_softmax(x0)"]),
    "a value along two axes at once taken for one along the diagonal": (
        [("n",)],
        ["sg.exp(x0)", "sg.expand_dims(v0, 1)", "sg.where(v1 > v0, v1, v0 * 2.0)"],
    ),
    "a mean over no elements met while looking for averages": (
        [(33, 0)],
        ["sg.sum(x0, axis=0)", "(v0 - sg.mean(v0, axis=0, keepdims=True)) / sg.sqrt(sg.var(v0) + 0.01)"],
    ),
    "a part of size 0 joined and padded": (
        [(0, 2), (3, 2)], ["sg.concat([x0, x1, x0])", "sg.pad(x0, 1) * 2.0"]),
    "one element along a named axis cut away": ([("n", 3)], ["sg.exp(x0)[1:]", "sg.concat([v0, x0]) * 2.0"]),
    "parts of one row beyond the last row": (
        [(9, 1, "n", 65)],
        ["x0 - sg.mean(x0, axis=(0, 2, 3), keepdims=True)", "v0 + sg.mean(v0 * v0, axis=0, keepdims=True)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float32, float64])
@pytest.mark.parametrize("name", FOUND)
def test_it_is_right_now(name, dtype):
    shapes, texts = FOUND[name]
    leaves = tuple(Leaf(f"x{i}", "input", TensorType(as_shape(s), dtype)) for i, s in enumerate(shapes))
    lines = tuple(Line(f"v{i}", text, TensorType((), dtype)) for i, text in enumerate(texts))
    outputs = tuple(line.name for line in lines)
    program = Program(4, leaves, lines, outputs, outputs[-1:], ("x0",), sizes=({"n": 1}, {"n": 7}))
    assert not check(program, interpreted=True)
