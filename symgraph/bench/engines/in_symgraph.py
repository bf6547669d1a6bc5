"""The rows in symgraph."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import nn, optim
from symgraph.bench.models import model
from symgraph.bench.problems import BATCH, FEATURES, HIDDEN, Prepared, Problem, problem


@dataclass(frozen=True, slots=True)
class Graph:
    """What sg.function takes for a row, and the arrays of a call."""

    inputs: list[Any]
    outputs: Any
    arrays: tuple[np.ndarray, ...]
    updates: Any = None
    frozen: bool = False

    @property
    def training(self) -> bool:
        return self.updates is not None


def prepare(name: str, threads: int) -> Prepared:
    graph = graph_of(name)
    start = time.perf_counter()
    f = sg.function(
        graph.inputs, graph.outputs, graph.updates, training=graph.training, threads=threads, name=name,
        frozen=graph.frozen,
    )  # fmt: skip
    return Prepared(
        call=lambda: f(*graph.arrays),
        numbers=lambda result: list(result) if isinstance(result, list) else [np.asarray(result)],
        version=sg.__version__,
        function=f,
        compiling=time.perf_counter() - start,
        arrays=graph.arrays,
    )


def graph_of(name: str) -> Graph:
    """Batches have a named size, except where the row is about one image or one array."""
    return GRAPHS[name](name, problem(name))


def _loaded(name: str, numbers: Problem) -> Any:
    made = model(nn, name)
    made.load_state_dict(numbers.parameters, strict=False)
    return made


def _inference(name: str, numbers: Problem) -> Graph:
    (array,) = numbers.inputs
    x = sg.input("x", array.shape)
    # As onnxruntime does: its model's weights are constants.
    return Graph([x], _loaded(name, numbers)(x), (array,), frozen=True)


def _training(name: str, numbers: Problem) -> Graph:
    made = _loaded(name, numbers)
    array = numbers.inputs[0]
    x = sg.input("x", ("batch", *array.shape[1:]))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    loss = nn.cross_entropy(made(x), y)
    updates = OPTIMIZERS[name]().minimize(loss, made.parameters())
    return Graph([x, y], loss, (array, numbers.labels), updates)


def _recurrent(name: str, numbers: Problem) -> Graph:
    cell = _loaded(name, numbers)
    array = numbers.inputs[0]
    x, y = sg.input("x", array.shape), sg.input("y", numbers.labels.shape, dtype=sg.int64)

    def step(h: Any, part: Any) -> Any:
        h = sg.tanh(cell.wx(part) + cell.wh(h))
        return h, cell.out(h)

    _, outputs = sg.scan(step, sg.zeros((BATCH, HIDDEN)), x)
    loss = nn.cross_entropy(sg.reshape(outputs, (-1, FEATURES)), y)
    return Graph([x, y], loss, (array, numbers.labels), OPTIMIZERS[name]().minimize(loss, cell.parameters()))


def _normalization(name: str, numbers: Problem) -> Graph:
    """The gradients alone, as jax.grad gives them."""
    norm = nn.layer_norm if name == "layernorm_grad" else nn.batch_norm
    array, above = numbers.inputs
    x, upstream = sg.input("x", array.shape), sg.input("upstream", above.shape)
    scales = tuple(numbers.parameters.values())
    gamma, beta = (sg.input(label, a.shape) for label, a in zip(("gamma", "beta"), scales, strict=True))
    y: Any = norm(x, gamma, beta)
    gradients = sg.grad(sg.sum(y * upstream), [x, gamma, beta])
    return Graph([x, gamma, beta, upstream], gradients, (array, *scales, above))


def _product(name: str, numbers: Problem) -> Graph:
    a, b = (sg.input(label, array.shape) for label, array in zip("ab", numbers.inputs, strict=True))
    return Graph([a, b], sg.matmul(a, b), numbers.inputs)


OPTIMIZERS: dict[str, Callable[[], optim.Optimizer]] = {
    "mlp_train": lambda: optim.Adam(1e-3),
    "deep100_train": lambda: optim.SGD(1e-2),
    "cnn_train": lambda: optim.SGD(1e-2, momentum=0.9),
    "rnn_train": lambda: optim.Adam(1e-3),
}
GRAPHS: dict[str, Callable[[str, Problem], Graph]] = {
    "mlp_infer1": _inference,
    "mlp_train": _training,
    "deep100_train": _training,
    "layernorm_grad": _normalization,
    "batchnorm_grad": _normalization,
    "cnn_train": _training,
    "cnn_infer1": _inference,
    "rnn_train": _recurrent,
    "gemm1024": _product,
}
