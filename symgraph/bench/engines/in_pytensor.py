"""Two rows in PyTensor, compiled by Numba: the nearest relative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor  # pyright: ignore[reportMissingImports]
import pytensor.tensor as pt  # pyright: ignore[reportMissingImports]

from symgraph.bench.problems import Prepared, Problem, problem


def prepare(name: str, threads: int) -> Prepared:
    """Threads are BLAS's, and set by the environment."""
    pytensor.config.floatX = "float32"
    f, arrays = MAKERS[name](problem(name))
    return Prepared(
        call=lambda: f(*arrays),
        numbers=lambda result: [np.asarray(a) for a in result],  # pyright: ignore[reportGeneralTypeIssues]
        version=pytensor.__version__,
    )


def _standardized(h: Any, gamma: Any, beta: Any, axis: int) -> Any:
    mean, variance = h.mean(axis, keepdims=True), h.var(axis, keepdims=True)
    return (h - mean) / pt.sqrt(variance + np.float32(1e-5)) * gamma + beta


def _training(numbers: Problem) -> Any:
    p = {key: pytensor.shared(a.T.copy() if a.ndim == 2 else a, key) for key, a in numbers.parameters.items()}
    x, y = pt.matrix("x", dtype="float32"), pt.lvector("y")
    h = x
    for i in (0, 3):
        h = h @ p[f"{i}.weight"]
        h = pt.maximum(_standardized(h, p[f"{i + 1}.weight"], p[f"{i + 1}.bias"], 0), np.float32(0))
    logits = pt.special.log_softmax(h @ p["6.weight"] + p["6.bias"], axis=1)
    loss = -logits[pt.arange(y.shape[0]), y].mean()
    updates = _adam(list(p.values()), pytensor.grad(loss, list(p.values())))
    return pytensor.function([x, y], [loss], updates=updates, mode="NUMBA"), (
        numbers.inputs[0],
        numbers.labels,
    )


def _adam(parameters: list[Any], gradients: list[Any]) -> list[tuple[Any, Any]]:
    t = pytensor.shared(np.float32(1), "t")
    updates = [(t, t + np.float32(1))]
    one, rate, eps = np.float32(1), np.float32(1e-3), np.float32(1e-8)
    b1, b2 = np.float32(0.9), np.float32(0.999)
    for p, g in zip(parameters, gradients, strict=True):
        m, v = (pytensor.shared(np.zeros_like(p.get_value())) for _ in range(2))
        first, second = b1 * m + (one - b1) * g, b2 * v + (one - b2) * g * g
        change = rate * (first / (one - b1**t)) / (pt.sqrt(second / (one - b2**t)) + eps)
        updates += [(m, first), (v, second), (p, p - change)]
    return updates


def _normalization(numbers: Problem) -> Any:
    x, upstream = pt.matrix("x", dtype="float32"), pt.matrix("upstream", dtype="float32")
    gamma, beta = pt.vector("gamma", dtype="float32"), pt.vector("beta", dtype="float32")
    weighted = (_standardized(x, gamma, beta, 1) * upstream).sum()
    inputs = [x, gamma, beta, upstream]
    f = pytensor.function(inputs, pytensor.grad(weighted, [x, gamma, beta]), mode="NUMBA")
    x_value, upstream_value = numbers.inputs
    return f, (x_value, *numbers.parameters.values(), upstream_value)


MAKERS = {"mlp_train": _training, "layernorm_grad": _normalization}
