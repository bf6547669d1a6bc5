"""The workloads in JAX, for a Python that has it: `peer_jax.py jit WORKLOAD SECONDS` prints JSON.

Run by its path, so that symgraph need not be installed beside JAX.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np

random = np.random.default_rng(0)
Tree = Any


def normal(*shape: int, scale: float = 1.0) -> Any:
    return jnp.asarray((random.standard_normal(shape) * scale).astype(np.float32))


def standardized(h: Any, gamma: Any, beta: Any, axis: int) -> Any:
    mean, variance = h.mean(axis, keepdims=True), h.var(axis, keepdims=True)
    return (h - mean) * jax.lax.rsqrt(variance + 1e-5) * gamma + beta


def layer(width_in: int, width: int) -> Tree:
    w = normal(width_in, width, scale=width_in**-0.5)
    return {"w": w, "gamma": jnp.ones(width), "beta": jnp.zeros(width)}


def with_last(layers: list[Tree], width: int) -> Tree:
    return {"layers": layers, "last": normal(width, 10, scale=0.1), "bias": jnp.zeros(10)}


def network(parameters: Tree, x: Any) -> Any:
    """Layers of a product, a batch norm and a ReLU, then a product."""
    for p in parameters["layers"]:
        x = jax.nn.relu(standardized(x @ p["w"], p["gamma"], p["beta"], 0))
    return x @ parameters["last"] + parameters["bias"]


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))


def adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def sgd(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    return p - 1e-2 * g, m, v


def trainer(parameters: Tree, rule: Callable[..., Any], x: Any) -> Callable[[], float]:
    y = jnp.asarray(random.integers(0, 10, len(x)))
    structure = jax.tree.structure(parameters)

    def step(p: Tree, m: Tree, v: Tree, t: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(lambda p: cross_entropy(network(p, x), y))(p)
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

    return call


def matmul() -> Callable[[], Any]:
    a, b = normal(1024, 1024), normal(1024, 1024)
    f = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(f(a, b))


def mlp_infer() -> Callable[[], Any]:
    sizes = ((64, 128), (128, 64), (64, 10))
    weights = [(normal(i, o), normal(o)) for i, o in sizes]

    @jax.jit
    def model(x: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ weights[-1][0] + weights[-1][1]

    x = np.asarray(normal(1, 64))
    return lambda: np.asarray(model(x))


def mlp_train() -> Callable[[], Any]:
    return trainer(with_last([layer(784, 512), layer(512, 256)], 256), adam, normal(128, 784))


def deep_compile() -> Callable[[], Any]:
    layers = [layer(64, 64) for _ in range(100)]
    return trainer(with_last(layers, 64), sgd, normal(64, 64))


def layer_norm() -> Callable[[], Any]:
    return normalization(1)


def batch_norm() -> Callable[[], Any]:
    return normalization(0)


def normalization(axis: int) -> Callable[[], Any]:
    def weighted(x: Any, gamma: Any, beta: Any, upstream: Any) -> Any:
        return jnp.sum(standardized(x, gamma, beta, axis) * upstream)

    f = jax.jit(jax.grad(weighted, (0, 1, 2)))
    arrays = (normal(4096, 1024), jnp.ones(1024), jnp.zeros(1024), normal(4096, 1024))
    return lambda: jax.block_until_ready(f(*arrays))


WORKLOADS = {f.__name__: f for f in (matmul, mlp_infer, mlp_train, deep_compile, layer_norm, batch_norm)}


def median(call: Callable[[], Any], seconds: float) -> float:
    for _ in range(3):
        call()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 7:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    _, name, seconds = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    began = time.perf_counter()
    workload = WORKLOADS[name]()
    workload()
    first = time.perf_counter() - began
    found = {"first call": first, "median": median(workload, float(seconds)), "version": jax.__version__}
    print(json.dumps(found))
