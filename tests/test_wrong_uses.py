"""What a new user gets wrong, and that the message says what came, what was expected and what to do."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn, optim

X = sg.input("x", ("batch", 4))
V = sg.input("v", (3,))
WHOLE = sg.input("i", (3,), dtype=sg.int64)
LABELS = sg.input("labels", ("batch",), dtype=sg.int64)
MODEL = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
F = sg.function([X], MODEL(X), name="predict")
ROWS = np.ones((2, 4), np.float32)


def eager(*values: float) -> sg.Tensor:
    return sg.tensor([float(v) for v in values], requires_grad=True)


def condition() -> None:
    if V[0] > 0:
        pass


# Raised where the graph is written: each names this file, so the line.
WRITTEN = {
    "inner dimensions": (
        lambda: X @ np.ones((5, 2), np.float32),
        r"matmul: inner .* f32\[batch, 4\] @ f32\[5, 2\]",
    ),
    "named and static": (lambda: X + V, r"add: shapes do not broadcast, \[batch, 4\] with \[3\]"),
    "an axis too many": (lambda: sg.sum(V, axis=1), "sum: axis 1 does not exist in a value of 1 axis"),
    "an axis that is no int": (lambda: nn.softmax(V, axis="a"), "softmax: an axis is an int, not 'a'"),
    "an axis twice": (lambda: sg.sum(X, axis=(0, 0)), r"sum: an axis is named twice in \(0, 0\)"),
    "einsum's count": (lambda: sg.einsum("ij,jk->ik", X), "einsum: 'ij,jk->ik' has 2 operands, got 1"),
    "einsum's sizes": (
        lambda: sg.einsum("ij,jk->ik", X, X),
        "'ij,jk->ik' of .* the axis 'j' is both 4 and batch",
    ),
    "einsum's output": (
        lambda: sg.einsum("i->j", V),
        "the output of 'i->j' has a letter that no operand has",
    ),
    "float labels": (
        lambda: nn.cross_entropy(X, X[:, 0]),
        "a label: expected int32, int64, got float32; cast",
    ),
    "labels with an axis": (
        lambda: nn.cross_entropy(X, LABELS[:, None]),
        r"labels must have shape \[batch\], got",
    ),
    "mse of (n, 1) and (n)": (lambda: nn.mse(X[:, :1], X[:, 0]), r"\[batch, 1\] and target \[batch\] differ"),
    "integer division": (
        lambda: WHOLE / 2,
        r"divide: expected float32, float64, got int64; cast with sg\.cast",
    ),
    "a float with integers": (lambda: WHOLE * 2.5, "multiply: 2.5 cannot take the dtype int64"),
    "mixed kinds": (lambda: WHOLE * V, "multiply: cannot mix int64 and float32; cast one side"),
    "no value": (lambda: sg.add(V, None), "expected a value, an array, or numbers in lists, got None"),
    "negative size": (lambda: sg.input("a", (-3,)), "input 'a': a dimension cannot be negative: -3"),
    "size None": (lambda: sg.input("a", (None,)), "input 'a': .* needs a name: write 'batch'"),
    "size 3.0": (lambda: sg.input("a", (3.0,)), "input 'a': a dimension is an int or a name, not 3.0"),
    "a name with a space": (lambda: sg.input("a", ("my batch",)), "'my batch' is not an identifier"),
    "half": (
        lambda: sg.input("a", (3,), dtype="float16"),
        "float16 is not supported; expected one of float32,",
    ),
    "misspelt type": (
        lambda: sg.input("a", (3,), dtype="flot"),
        "'flot' is no element type; expected one of",
    ),
    "a layer of another size": (
        lambda: MODEL(V),
        r"Linear\(in_features=4.*at '0': expected \(\.\.\., 4\), got f32\[3\]",
    ),
    "reshape": (lambda: sg.reshape(X, (7, -1)), r"reshape: f32\[batch, 4\] does not fit into \[7, -1\]"),
    "two unknown extents": (lambda: sg.reshape(V, (-1, -1)), r"only one extent may be -1, got \[-1, -1\]"),
    "concat of other widths": (lambda: sg.concat([X, X[:, 1:]]), "concat: .* differ outside axis 0"),
    "stack of other shapes": (lambda: sg.stack([V, V[1:]]), r"stack: f32\[3\] and f32\[2\] differ in shape"),
    "index outside": (lambda: V[5], "indexing: 5 lies outside axis 0 of size 3"),
    "float index": (
        lambda: V[1.5],
        r"an index is an int, a slice, None, \.\.\. or an array of ints, not 1\.5",
    ),
    "mask": (lambda: V[V > 0], r"the size of x\[mask\] depends on data; use sg\.where"),
    "too many indices": (lambda: V[0, 0], r"indexing: 2 indices for f32\[3\]"),
    "step along a named dimension": (
        lambda: X[::2],
        r"the named dimension batch, x\[a:b\] and x\[::-1\] are",
    ),
    "pad": (
        lambda: sg.pad(V, ((1, 2), (3, 4))),
        r"pad: .* is no \(before, after\) for each axis of f32\[3\]",
    ),
    "gradient of a vector": (
        lambda: sg.grad(V * 2, V),
        r"the loss is f32\[3\], not a scalar; reduce it first",
    ),
    "gradient of integers": (lambda: sg.grad(sg.sum(WHOLE), WHOLE), r"i64\[\] has no gradient"),
    "no path": (
        lambda: optim.SGD(0.1).minimize(sg.sum(V), MODEL.parameters()),
        "0.weight: the loss does not depend",
    ),
    "eager among static": (
        lambda: sg.grad(sg.sum(V * eager(1, 2, 3)), eager(1.0)),
        "wrt holds an eager tensor",
    ),
    "array as input": (
        lambda: sg.function([np.ones(3)], V),
        r"made by sg\.input, not a numpy array of shape \(3,\)",
    ),
    "array as output": (lambda: sg.function([V], np.ones(3)), r"expected a Symbol; sg\.constant makes one"),
    "input left out": (
        lambda: sg.function([V], V + WHOLE.astype("float32")),
        r"depend on input 'i', which is not among",
    ),
    "input twice": (lambda: sg.function([V, V], V), r"two inputs are named 'v'; give each sg\.input a name"),
    "updates as a list": (lambda: sg.function([V], [], [1]), r"updates is a dict of states .* not \[1\]"),
    "update of an input": (
        lambda: sg.function([V], [], {V: V}),
        "only a parameter or a state can be updated",
    ),
    "backward of a vector": (
        lambda: (eager(1, 2) * 2).backward(),
        r"backward: f32\[2\] is not one number; reduce it",
    ),
    "backward without a path": (
        lambda: sg.sum(sg.tensor([1.0])).backward(),
        "does not depend on one with requires_grad",
    ),
}  # fmt: skip

# Raised at once, by what was called: the traceback shows the line.
CALLED = {
    "rank": (lambda: F(ROWS[0]), r"predict: input 'x' expected f32\[batch, 4\], got f32\[4\]"),
    "shape": (lambda: F(ROWS[:, 1:]), r"input 'x' expected f32\[batch, 4\], got f32\[2, 3\]"),
    "dtype": (lambda: F(np.ones((2, 4))), r"got f64\[2, 4\]; convert it with \.astype\('float32'\)"),
    "nothing": (lambda: F(), r"predict takes 1 array \(x: f32\[batch, 4\]\), got 0"),
    "too much": (lambda: F(ROWS, 1), r"predict takes 1 array \(x: f32\[batch, 4\]\), got 2"),
    "unknown name": (lambda: F(images=ROWS), r"predict: the inputs are \['x'\], there is no 'images'"),
    "place and name": (lambda: F(ROWS, x=ROWS), "input 'x' is given by its place and by its name"),
    "a symbol": (lambda: F(X), r"input 'x' expected .*holds no numbers; compile it with sg\.function"),
    "unknown option": (
        lambda: nn.leaky_relu(V, slope=1),
        r"leaky_relu\(x, negative_slope=0\.01\): .*'slope'",
    ),
    "unknown reduction option": (
        lambda: sg.sum(V, axes=0),
        r"sum\(\) got an unexpected keyword argument 'axes'",
    ),
    "operand left out": (lambda: sg.add(V), r"add\(x, y\): missing a required argument: 'y'"),
    "equation last": (lambda: sg.einsum(V, "i->"), "first comes the equation, as in 'ij,jk->ik', not Symbol"),
    "values not in a list": (
        lambda: sg.concat(V, V),
        r"expected a list of values, as in sg\.concat\(\[x, y\]\)",
    ),
    "if": (condition, r"cannot decide an `if` or `while`; use sg\.where"),
    "numpy's function": (lambda: np.exp(V), r"np\.exp was called on a symgraph Symbol; use sg\.exp"),
    "numpy's reduction": (lambda: np.sum(V), r"np\.sum was called on .*; use a function of sg"),
    "numpy's array": (lambda: np.array(V), "is part of a graph and holds no numbers"),
    "printed": (lambda: f"{V:.3f}", r"cannot be printed as '\.3f'"),
    "backward of a symbol": (lambda: sg.sum(V).backward(), r"has no 'backward', as eager .* sg\.grad\(loss"),
    "state dict": (
        lambda: MODEL.load_state_dict({"0.weight": np.ones((4, 3)), "2.bias": 1}),
        r"3 differences, nothing was loaded(.|\n)*0\.bias: missing(.|\n)*got float64\[4, 3\]",
    ),
    "the path of a state dict": (
        lambda: MODEL.load_state_dict("m.st"),
        r"dict of arrays, as sg\.load\(path\) gives",
    ),
    "learning rate": (
        lambda: optim.Adam(MODEL.parameters()),
        r"lr: expected a number.* given to minimize or step",
    ),
    "model for parameters": (
        lambda: optim.SGD(0.1).step(MODEL),
        r"expected those of model\.parameters\(\), got Linear",
    ),
    "list of layers": (lambda: nn.Sequential([nn.ReLU()]), "Sequential holds modules, not list"),
    "layer sizes": (lambda: nn.Linear(4.0, -1), r"Linear: sizes are whole numbers from 0, not 4\.0"),
    "ragged rows": (lambda: sg.data.batches([[1, 2], [3]], size=1), "batches: array 0: "),
    "rows": (lambda: sg.data.batches(ROWS, ROWS[:1], size=1), r"different numbers of rows, \[2, 1\]"),
    "state's name": (lambda: sg.state(np.ones(3), "w"), "a state's name is a non-empty string, not array"),
    "relu": (lambda: sg.relu, r"no attribute 'relu'; there is sg\.nn\.relu"),
    "threads": (lambda: sg.function([V], V, threads=0), "threads must be 1 or more, or None"),
    "stage": (
        lambda: F.text("optimised"),
        "there is no stage 'optimised'; the stages are written, resolve_phase",
    ),
    "suffix": (lambda: sg.draw(V, "a.jpg"), r"'a\.jpg' ends in none of \.dot, \.svg"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_an_error_names_the_line(name):
    wrong, message = WRITTEN[name]
    with pytest.raises(sg.SymgraphError, match=f"(?s){message}.*\n  at test_wrong_uses\\.py"):
        wrong()


@pytest.mark.parametrize("name", CALLED)
def test_an_error_says_what_to_do(name):
    wrong, message = CALLED[name]
    with pytest.raises((sg.SymgraphError, TypeError, ValueError, AttributeError), match=message):
        wrong()


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "notes.txt").write_text("these are only words, as anyone can see")
    np.savez(tmp_path / "arrays.npz", a=ROWS)
    for name in ("notes.txt", "arrays.npz"):
        with pytest.raises(sg.CheckpointError, match=f"{name}: not a symgraph file"):
            sg.load(tmp_path / name)


def test_numpy_reads_eager_tensors():
    """A mean for a log is a number; formatting one is too."""
    loss = sg.tensor([1.0, 2.0], requires_grad=True) * 2.0
    assert np.mean(loss) == 3.0 and f"{sg.sum(loss):.2f}" == "6.00"
    assert np.allclose(np.concatenate([loss, loss]), [2.0, 4.0, 2.0, 4.0])


def test_attributes_by_position():
    x = sg.tensor([-2.0, 0.5, 2.0])
    np.testing.assert_array_equal(sg.clip(x, -1, 1), [-1.0, 0.5, 1.0])
    np.testing.assert_array_equal(sg.clip(x, max=1), [-2.0, 0.5, 1.0])
    np.testing.assert_array_equal(nn.leaky_relu(x, 0.5), [-1.0, 0.5, 2.0])
    limited = sg.function([V], [sg.clip(V, 0), sg.grad(sg.sum(sg.clip(V, 0)), V)])
    np.testing.assert_array_equal(limited(np.asarray(x)), [[0.0, 0.5, 2.0], [0.0, 1.0, 1.0]])
