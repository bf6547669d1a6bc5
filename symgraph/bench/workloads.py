"""What is measured of symgraph. A workload returns figures: seconds, or counts where the name says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import nn, optim
from symgraph.bench.timing import median, medians
from symgraph.train import digits
from symgraph.train.worlds import LEARNING_RATE

Figures = dict[str, float]
MATMULS = ((1024, 1024, 1024), (768, 512, 64), (33, 77, 129))  # rows, inner, columns
ROWS, COLUMNS = 4096, 1024


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


def mlp_infer(seconds: float) -> Figures:
    """64-128-64-10 with ReLU on one row."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    x = _normal(1, 64)
    f = sg.trace(model, x.shape, threads=1)
    return {"symgraph": median(lambda: f(x), seconds)}


def training_step(model: nn.Module, optimizer: optim.Optimizer, features: int) -> tuple[sg.Function, float]:
    """The whole step as one function, for batches of any size, and the seconds that sg.function took."""
    x = sg.input("x", ("batch", features))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    loss = nn.cross_entropy(model(x), y)
    updates = optimizer.minimize(loss, model.parameters())
    start = time.perf_counter()
    step = sg.function([x, y], loss, updates, training=True, threads=1, name="step")
    return step, time.perf_counter() - start


def mlp_train(seconds: float) -> Figures:
    """784-512-256-10 with BatchNorm, Adam, batch 128: one training step."""
    step, _ = training_step(
        nn.Sequential(
            nn.Linear(784, 512, bias=False), nn.BatchNorm(512), nn.ReLU(),
            nn.Linear(512, 256, bias=False), nn.BatchNorm(256), nn.ReLU(), nn.Linear(256, 10),
        ),
        optim.Adam(1e-3),
        features=784,
    )  # fmt: skip
    x, y = _normal(128, 784), np.random.default_rng(0).integers(0, 10, 128)
    return {"symgraph": median(lambda: step(x, y), seconds), "launches": len(step.report().launches)}


def layer_norm(seconds: float) -> Figures:
    """Forward and backward on 4096x1024: gradients of x, gamma and beta."""
    return _normalization(lambda x, w, b: nn.layer_norm(x, w, b), seconds)


def batch_norm(seconds: float) -> Figures:
    """Forward and backward on 4096x1024: gradients of x, gamma and beta."""
    return _normalization(lambda x, w, b: nn.batch_norm(x, w, b), seconds)


def _normalization(norm: Callable[..., Any], seconds: float) -> Figures:
    """Two functions: the gradients alone, as jax.grad gives them, and with the output of the forward pass."""
    x = sg.input("x", (ROWS, COLUMNS))
    gamma, beta = sg.input("gamma", (COLUMNS,)), sg.input("beta", (COLUMNS,))
    upstream: Any = sg.input("upstream", (ROWS, COLUMNS))
    y = norm(x, gamma, beta)
    gradients = sg.grad(sg.sum(y * upstream), [x, gamma, beta])
    inputs = [x, gamma, beta, upstream]
    alone = sg.function(inputs, gradients, threads=1, name="gradients")
    both = sg.function(inputs, [y, *gradients], threads=1, name="output_and_gradients")
    arrays = (_normal(ROWS, COLUMNS), np.ones(COLUMNS, "f"), np.zeros(COLUMNS, "f"), _normal(ROWS, COLUMNS))
    calls = {"symgraph": lambda: alone(*arrays), "symgraph with output": lambda: both(*arrays)}
    kernels = {"launches": alone, "launches with output": both}
    return medians(calls, seconds) | {name: len(f.report().launches) for name, f in kernels.items()}


def deep_step() -> tuple[sg.Function, float]:
    """100 layers of width 64 with BatchNorm and ReLU, and SGD; the seconds that sg.function took."""
    layers = [(nn.Linear(64, 64, bias=False), nn.BatchNorm(64), nn.ReLU()) for _ in range(100)]
    model = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(64, 10))
    return training_step(model, optim.SGD(1e-2), features=64)


def deep_compile(seconds: float) -> Figures:
    """From nothing to the end of the first step: model, graph, compilation, call."""
    x, y = _normal(64, 64), np.random.default_rng(0).integers(0, 10, 64)
    start = time.perf_counter()
    step, compiling = deep_step()
    step(x, y)
    first = time.perf_counter() - start
    report = step.report()
    return {
        "first call": first,
        "compile": compiling,
        "symgraph": median(lambda: step(x, y), seconds),
        "kernels": report.kernels,
        "launches": len(report.launches),
    }


def digits_compile(seconds: float) -> Figures:
    """The demo's training step, compiled."""
    optimizer = optim.Adam(LEARNING_RATE)
    return {"compile": training_step(digits.model(), optimizer, features=digits.PIXELS)[1]}


WORKLOADS: dict[str, Callable[[float], Figures]] = {
    f.__name__: f
    for f in (matmul, call, mlp_infer, mlp_train, layer_norm, batch_norm, deep_compile, digits_compile)
}
