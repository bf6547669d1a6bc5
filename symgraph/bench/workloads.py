"""What is measured of symgraph alone. A workload returns figures: seconds, or counts where it says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import nn, optim
from symgraph.bench.machine import measure_roofline
from symgraph.bench.problems import COLUMNS, MATMULS, ROWS, problem
from symgraph.bench.roofline import as_dict
from symgraph.bench.timing import cores, medians
from symgraph.train import digits
from symgraph.train.worlds import LEARNING_RATE

Figures = dict[str, Any]


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def matmul(seconds: float) -> Figures:
    """float32 products beside numpy's, that is OpenBLAS's, in turns."""
    found: Figures = {}
    for rows, inner, columns in MATMULS:
        a, b = _normal(rows, inner), _normal(inner, columns)
        f = sg.trace(sg.matmul, a.shape, b.shape, threads=1)
        np.testing.assert_allclose(f(a, b), a @ b, rtol=1e-3, atol=1e-3)
        calls = {"symgraph": lambda f=f, a=a, b=b: f(a, b), "numpy": lambda a=a, b=b: np.matmul(a, b)}
        for name, value in medians(calls, seconds).items():
            found[f"{name} {rows}x{inner}x{columns}"] = value
    return found


def call(seconds: float) -> Figures:
    """One small input, one output: what a call costs besides its arithmetic."""
    x = _normal(8)
    f = sg.trace(lambda x: x + 1.0, x.shape, threads=1)
    return medians({"symgraph": lambda: f(x), "numpy": lambda: x + np.float32(1.0)}, seconds)


def layer_norm(seconds: float) -> Figures:
    """Gradients of x, gamma and beta."""
    return _normalization("layernorm_grad", lambda x, w, b: nn.layer_norm(x, w, b), seconds)


def batch_norm(seconds: float) -> Figures:
    """Gradients of x, gamma and beta."""
    return _normalization("batchnorm_grad", lambda x, w, b: nn.batch_norm(x, w, b), seconds)


def _normalization(name: str, norm: Callable[..., Any], seconds: float) -> Figures:
    """Two functions: the gradients alone, and with the output of the forward pass."""
    numbers = problem(name)
    array, above = numbers.inputs
    x = sg.input("x", (ROWS, COLUMNS))
    gamma, beta = sg.input("gamma", (COLUMNS,)), sg.input("beta", (COLUMNS,))
    upstream: Any = sg.input("upstream", (ROWS, COLUMNS))
    y = norm(x, gamma, beta)
    gradients = sg.grad(sg.sum(y * upstream), [x, gamma, beta])
    inputs = [x, gamma, beta, upstream]
    alone = sg.function(inputs, gradients, threads=1, name="gradients")
    both = sg.function(inputs, [y, *gradients], threads=1, name="output_and_gradients")
    arrays = (array, *numbers.parameters.values(), above)
    calls = {"symgraph": lambda: alone(*arrays), "symgraph with output": lambda: both(*arrays)}
    kernels = {"launches": alone, "launches with output": both}
    return medians(calls, seconds) | {label: len(f.report().launches) for label, f in kernels.items()}


def digits_compile(seconds: float) -> Figures:
    """The demo's training step, compiled."""
    x = sg.input("x", ("batch", digits.PIXELS))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    model = digits.model()
    loss = nn.cross_entropy(model(x), y)
    updates = optim.Adam(LEARNING_RATE).minimize(loss, model.parameters())
    start = time.perf_counter()
    sg.function([x, y], loss, updates, training=True, threads=1, name="step")
    return {"compile": time.perf_counter() - start}


def machine(seconds: float) -> Figures:
    """The roofline on as many threads as this process has cores."""
    return as_dict(measure_roofline(cores(), seconds / 2))


WORKLOADS: dict[str, Callable[[float], Figures]] = {
    f.__name__: f for f in (matmul, call, layer_norm, batch_norm, digits_compile, machine)
}
