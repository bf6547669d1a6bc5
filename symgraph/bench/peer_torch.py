"""The workloads in PyTorch: `peer_torch.py eager|compile WORKLOAD SECONDS` prints JSON.

Run by its path, so that symgraph need not be installed beside PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

random = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return torch.from_numpy(random.standard_normal(shape).astype(np.float32))


def trainer(model: Any, optimizer: Any, x: Any, compiled: bool) -> Callable[[], float]:
    """A training step; torch.compile takes the forward and backward pass, and the optimizer, apart."""
    y = torch.from_numpy(random.integers(0, 10, len(x)))

    def loss_of(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    forward = torch.compile(loss_of) if compiled else loss_of
    update = torch.compile(optimizer.step) if compiled else optimizer.step

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        update()
        return loss.item()

    return step


def matmul(compiled: bool) -> Callable[[], Any]:
    a, b = normal(1024, 1024), normal(1024, 1024)
    f = torch.compile(torch.matmul) if compiled else torch.matmul
    return lambda: f(a, b)


def mlp_infer(compiled: bool) -> Callable[[], Any]:
    sizes = ((64, 128), (128, 64))
    layers = [part for i, o in sizes for part in (nn.Linear(i, o), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(64, 10)).eval()
    x = normal(1, 64)
    f = torch.compile(model) if compiled else model

    def call() -> Any:
        with torch.inference_mode():
            return f(x)

    return call


def mlp_train(compiled: bool) -> Callable[[], Any]:
    model = nn.Sequential(
        nn.Linear(784, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip
    return trainer(model, torch.optim.Adam(model.parameters(), 1e-3), normal(128, 784), compiled)


def deep_compile(compiled: bool) -> Callable[[], Any]:
    layers = [(nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()) for _ in range(100)]
    model = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(64, 10))
    return trainer(model, torch.optim.SGD(model.parameters(), 1e-2), normal(64, 64), compiled)


def layer_norm(compiled: bool) -> Callable[[], Any]:
    return normalization(nn.LayerNorm(1024), compiled)


def batch_norm(compiled: bool) -> Callable[[], Any]:
    return normalization(nn.BatchNorm1d(1024, track_running_stats=False), compiled)


def normalization(norm: Any, compiled: bool) -> Callable[[], Any]:
    x, upstream = normal(4096, 1024).requires_grad_(), normal(4096, 1024)
    f = torch.compile(norm) if compiled else norm

    def call() -> Any:
        x.grad = None
        norm.zero_grad()
        f(x).backward(upstream)
        return x.grad

    return call


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
    mode, name, seconds = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    began = time.perf_counter()
    workload = WORKLOADS[name](mode == "compile")
    workload()
    first = time.perf_counter() - began
    found = {"first call": first, "median": median(workload, float(seconds)), "version": torch.__version__}
    print(json.dumps(found))
