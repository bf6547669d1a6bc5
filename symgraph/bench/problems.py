"""The rows of the comparison as data: what each computes, on which numbers. All engines get the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shapes = dict[str, tuple[int, ...]]
Arrays = dict[str, np.ndarray]
ROWS, COLUMNS = 4096, 1024  # of the normalizations
SIDE = 1024  # of the product
MATMULS = ((SIDE, SIDE, SIDE), (768, 512, 64), (33, 77, 129))  # rows, inner, columns; beside numpy's
STEPS, BATCH, FEATURES, HIDDEN = 32, 32, 64, 128  # of the recurrent network
CLASSES = 10
LAYERS = 100
MS, US = 1e-3, 1e-6
SHAKY = 0.1  # the size of biases and of what differs from one in scales


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the comparison. `goals` are seconds of a call on one thread and on two.

    `steps` calls in a row make the answer that engines must agree on within `tolerance` of its largest
    number: a training step changes the parameters, so the losses of several say whether the update is right.
    """

    title: str
    goals: tuple[float, float]
    parameters: Shapes = field(default_factory=dict)
    inputs: Shapes
    labels: tuple[int, int] | None = None  # how many, below what
    steps: int = 1
    tolerance: float = 1e-3
    note: str = ""


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    """PyTorch's names and shapes."""
    found: Shapes = {f"{name}.weight": (outputs, inputs)}
    return found | {f"{name}.bias": (outputs,)} if bias else found


def norm(name: str, channels: int, averages: bool = False) -> Shapes:
    kinds = ("weight", "bias", "running_mean", "running_var") if averages else ("weight", "bias")
    return {f"{name}.{kind}": (channels,) for kind in kinds}


def _deep() -> Shapes:
    found: Shapes = {}
    for layer in range(LAYERS):
        found |= linear(f"{3 * layer}", 64, 64, bias=False) | norm(f"{3 * layer + 1}", 64)
    return found | linear(f"{3 * LAYERS}", 64, CLASSES)


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    """Two convolutions with batch norms in `a`; one in `s` where the shape changes."""
    found: Shapes = {
        f"{name}.a.0.weight": (outputs, inputs, 3, 3), **norm(f"{name}.a.1", outputs, True),
        f"{name}.a.3.weight": (outputs, outputs, 3, 3), **norm(f"{name}.a.4", outputs, True),
    }  # fmt: skip
    if inputs == outputs:
        return found
    return found | {f"{name}.s.0.weight": (outputs, inputs, 1, 1), **norm(f"{name}.s.1", outputs, True)}


TRAINING = "forward, backward, optimizer; the loss goes back to Python"
PROBLEMS: dict[str, Row] = {
    "mlp_infer1": Row(
        title="MLP 64-128-64-10, ReLU, one row",
        goals=(1.0 * US, 1.0 * US),
        parameters=linear("0", 64, 128) | linear("2", 128, 64) | linear("4", 64, CLASSES),
        inputs={"x": (1, 64)},
        note="a call from Python, with the result in a new array; JAX, onnxruntime and symgraph take numpy's",
    ),
    "mlp_train": Row(
        title="MLP 784-512-256-10, BN, Adam, batch 128: a training step",
        goals=(3.5 * MS, 2.0 * MS),
        parameters=linear("0", 784, 512, bias=False) | norm("1", 512)
        | linear("3", 512, 256, bias=False) | norm("4", 256) | linear("6", 256, CLASSES),
        inputs={"x": (128, 784)},
        labels=(128, CLASSES),
        steps=3,
        note=f"{TRAINING}; PyTorch and symgraph also move BN's running averages, JAX and PyTensor do not",
    ),
    "deep100_train": Row(
        title="100 x (64x64, BN, ReLU), SGD, batch 64: a training step",
        goals=(3.5 * MS, 3.0 * MS),
        parameters=_deep(),
        inputs={"x": (64, 64)},
        labels=(64, CLASSES),
        tolerance=0.2,
        note=f"{TRAINING}; only the first loss is compared, and roughly, since 100 batch norms blow up "
        "rounding errors; PyTorch and symgraph also move the running averages",
    ),
    "layernorm_grad": Row(
        title=f"layer norm {ROWS}x{COLUMNS}: dx, dgamma, dbeta",
        goals=(2.5 * MS, 1.5 * MS),
        parameters=norm("", COLUMNS),
        inputs={"x": (ROWS, COLUMNS), "upstream": (ROWS, COLUMNS)},
        note="PyTorch's figures hold the forward pass and its output too, since autograd runs it; JAX, "
        "PyTensor and symgraph return gradients alone (with the output too: under Other figures)",
    ),
    "batchnorm_grad": Row(
        title=f"batch norm {ROWS}x{COLUMNS}: dx, dgamma, dbeta",
        goals=(3.7 * MS, 2.4 * MS),
        parameters=norm("", COLUMNS),
        inputs={"x": (ROWS, COLUMNS), "upstream": (ROWS, COLUMNS)},
        note="as above; no running averages in any engine",
    ),
    "cnn_train": Row(
        title="2 x (conv 3x3, BN, ReLU, pool), 16 and 32 channels, 28x28, batch 64: a training step",
        goals=(8.0 * MS, 5.0 * MS),
        parameters={"0.weight": (16, 1, 3, 3), **norm("1", 16), "4.weight": (32, 16, 3, 3), **norm("5", 32)}
        | linear("9", 32 * 49, CLASSES),
        inputs={"x": (64, 1, 28, 28)},
        labels=(64, CLASSES),
        steps=3,
        note=f"SGD with momentum 0.9; {TRAINING}; running averages as in mlp_train",
    ),
    "cnn_infer1": Row(
        title="ResNet-8 on one 3x32x32 image",
        goals=(0.22 * MS, 0.13 * MS),
        parameters={"0.weight": (16, 3, 3, 3), **norm("1", 16, True)}
        | _residual("3", 16, 16) | _residual("4", 16, 32) | _residual("5", 32, 64) | linear("8", 64, CLASSES),
        inputs={"x": (1, 3, 32, 32)},
        note="batch norm in inference mode, which an engine may fold; torch eager does not",
    ),
    "rnn_train": Row(
        title="tanh cell 64-128-64, T=32, batch 32, Adam: a training step",
        goals=(2.3 * MS, 1.8 * MS),
        parameters=linear("wx", FEATURES, HIDDEN) | linear("wh", HIDDEN, HIDDEN, bias=False)
        | linear("out", HIDDEN, FEATURES),
        inputs={"x": (STEPS, BATCH, FEATURES)},
        labels=(STEPS * BATCH, FEATURES),
        steps=3,
        note=f"{TRAINING}; PyTorch loops in Python, JAX has lax.scan, symgraph sg.scan",
    ),
    "gemm1024": Row(
        title=f"product of {SIDE}x{SIDE} matrices",
        goals=(19.5 * MS, 10.0 * MS),
        inputs={"a": (SIDE, SIDE), "b": (SIDE, SIDE)},
        note="float32, into a new array",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """The numbers of a row: parameters under PyTorch's names, inputs in order, labels where it trains."""

    row: Row
    parameters: Arrays
    inputs: tuple[np.ndarray, ...]
    labels: np.ndarray


def problem(name: str) -> Problem:
    """The same numbers in every process."""
    row = PROBLEMS[name]
    random = np.random.default_rng(0)
    parameters = {key: _initial(random, key, shape) for key, shape in row.parameters.items()}
    inputs = tuple(random.standard_normal(shape).astype(np.float32) for shape in row.inputs.values())
    count, below = row.labels or (0, 1)
    return Problem(row, parameters, inputs, random.integers(0, below, count))


def _initial(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices and filters normal, variance 1 / fan-in; scales and variances near one; biases near zero."""
    value = random.standard_normal(shape)
    if len(shape) > 1:
        return (value * np.prod(shape[1:]) ** -0.5).astype(np.float32)
    around = 1.0 if name.endswith((".weight", ".running_var")) else 0.0
    return (around + SHAKY * np.clip(value, -3, 3)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What an engine makes of a row. `call` is what is timed; `numbers` takes what it returned as arrays.

    `function` is symgraph's compiled function, `compiling` the seconds that making it took, `arrays` those
    that it is called with.
    """

    call: Callable[[], Any]
    numbers: Callable[[Any], list[np.ndarray]]
    version: str
    function: Any = None
    compiling: float | None = None
    arrays: tuple[np.ndarray, ...] = ()
