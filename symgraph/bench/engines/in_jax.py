"""The rows in JAX, under jax.jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np

from symgraph.bench.problems import BATCH, FEATURES, HIDDEN, LAYERS, Prepared, Problem, problem

Tree = Any
Pair = tuple[Callable[[], Any], Callable[[Any], list[np.ndarray]]]


def prepare(name: str, threads: int) -> Prepared:
    """Threads are set by the process's cores and environment, before JAX starts."""
    call, arrays = MAKERS[name](name, problem(name))
    return Prepared(call=call, numbers=arrays, version=jax.__version__)


def _parameters(numbers: Problem) -> Tree:
    """Matrices as (in, out), which is how they are written in JAX."""
    turned = ((key, a.T.copy() if a.ndim == 2 else a) for key, a in numbers.parameters.items())
    return {key: jnp.array(a) for key, a in turned}


def _standardized(h: Any, gamma: Any, beta: Any, axes: tuple[int, ...]) -> Any:
    mean, variance = h.mean(axes, keepdims=True), h.var(axes, keepdims=True)
    return (h - mean) * jax.lax.rsqrt(variance + 1e-5) * gamma + beta


def _hidden(p: Tree, h: Any, layers: int) -> Any:
    """Layers of a product, a batch norm and a ReLU, as nn.Sequential numbers them."""
    for i in range(0, 3 * layers, 3):
        h = h @ p[f"{i}.weight"]
        h = jax.nn.relu(_standardized(h, p[f"{i + 1}.weight"], p[f"{i + 1}.bias"], (0,)))
    return h @ p[f"{3 * layers}.weight"] + p[f"{3 * layers}.bias"]


def _convolutional(p: Tree, h: Any) -> Any:
    for i in (0, 4):
        h = jax.lax.conv_general_dilated(h, p[f"{i}.weight"], (1, 1), "SAME")
        gamma, beta = (p[f"{i + 1}.{kind}"][:, None, None] for kind in ("weight", "bias"))
        h = jax.nn.relu(_standardized(h, gamma, beta, (0, 2, 3)))
        h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return h.reshape(len(h), -1) @ p["9.weight"] + p["9.bias"]


def _recurrent(p: Tree, x: Any) -> Any:
    def cell(h: Any, part: Any) -> Any:
        h = jnp.tanh(part @ p["wx.weight"] + p["wx.bias"] + h @ p["wh.weight"])
        return h, h @ p["out.weight"] + p["out.bias"]

    _, outputs = jax.lax.scan(cell, jnp.zeros((BATCH, HIDDEN)), x)
    return outputs.reshape(-1, FEATURES)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))


def _adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def _momentum(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    m = 0.9 * m + g
    return p - 1e-2 * m, m, v


def _sgd(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    return p - 1e-2 * g, m, v


NETWORKS: dict[str, tuple[Callable[[Tree, Any], Any], Callable[..., Any]]] = {
    "mlp_train": (lambda p, x: _hidden(p, x, 2), _adam),
    "deep100_train": (lambda p, x: _hidden(p, x, LAYERS), _sgd),
    "cnn_train": (_convolutional, _momentum),
    "rnn_train": (_recurrent, _adam),
}


def _training(name: str, numbers: Problem) -> Pair:
    network, rule = NETWORKS[name]
    x, y = numbers.inputs[0], numbers.labels
    parameters = _parameters(numbers)
    structure = jax.tree.structure(parameters)

    def step(p: Tree, m: Tree, v: Tree, t: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(lambda p: _cross_entropy(network(p, x), y))(p)
        flat = [jax.tree.leaves(tree) for tree in (p, g, m, v)]
        new = [rule(*leaves, t) for leaves in zip(*flat, strict=True)]
        p, m, v = (jax.tree.unflatten(structure, part) for part in zip(*new, strict=True))
        return p, m, v, t + 1, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = [parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(1)]

    def call() -> float:
        *state[:], loss = compiled(*state, x, y)
        return float(loss)

    return call, lambda loss: [np.asarray(loss)]


def _inference(name: str, numbers: Problem) -> Pair:
    p, x = _parameters(numbers), numbers.inputs[0]

    @jax.jit
    def mlp(x: Any) -> Any:
        for i in (0, 2):
            x = jax.nn.relu(x @ p[f"{i}.weight"] + p[f"{i}.bias"])
        return x @ p["4.weight"] + p["4.bias"]

    return lambda: np.asarray(mlp(x)), lambda result: [result]


def _normalization(name: str, numbers: Problem) -> Pair:
    axis = 1 if name == "layernorm_grad" else 0

    def weighted(x: Any, gamma: Any, beta: Any, upstream: Any) -> Any:
        return jnp.sum(_standardized(x, gamma, beta, (axis,)) * upstream)

    f = jax.jit(jax.grad(weighted, (0, 1, 2)))
    x, upstream = (jnp.asarray(a) for a in numbers.inputs)
    gamma, beta = (jnp.asarray(a) for a in numbers.parameters.values())
    call = lambda: jax.block_until_ready(f(x, gamma, beta, upstream))  # noqa: E731
    return call, lambda result: [np.asarray(a) for a in result]


def _product(name: str, numbers: Problem) -> Pair:
    a, b = (jnp.asarray(v) for v in numbers.inputs)
    f = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(f(a, b)), lambda result: [np.asarray(result)]


MAKERS: dict[str, Callable[[str, Problem], Pair]] = {
    "mlp_infer1": _inference,
    **dict.fromkeys(NETWORKS, _training),
    "layernorm_grad": _normalization,
    "batchnorm_grad": _normalization,
    "gemm1024": _product,
}
