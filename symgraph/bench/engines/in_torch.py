"""The rows in PyTorch: eager, and with torch.compile (Inductor)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from symgraph.bench.models import model
from symgraph.bench.problems import BATCH, FEATURES, HIDDEN, Prepared, Problem, problem


def prepare(name: str, threads: int, compiled: bool = False) -> Prepared:
    torch.set_num_threads(threads)
    numbers = problem(name)
    call, arrays = MAKERS[name](name, numbers, torch.compile if compiled else _as_it_is)
    return Prepared(call=call, numbers=arrays, version=torch.__version__)


Pair = tuple[Callable[[], Any], Callable[[Any], list[np.ndarray]]]


def _as_it_is(f: Any) -> Any:
    return f


def _loaded(made: Any, numbers: Problem) -> Any:
    """The model with the row's parameters; its counters of batches stay."""
    made.load_state_dict(
        {key: torch.from_numpy(a.copy()) for key, a in numbers.parameters.items()}, strict=False
    )
    return made


def _inference(name: str, numbers: Problem, comp: Any) -> Pair:
    made = comp(_loaded(model(nn, name), numbers).eval())
    x = torch.from_numpy(numbers.inputs[0])

    def call() -> Any:
        with torch.inference_mode():
            return made(x)

    return call, lambda result: [result.numpy()]


def _training(name: str, numbers: Problem, comp: Any) -> Pair:
    """A training step; torch.compile takes the forward and backward pass, and the optimizer, apart."""
    made = _loaded(model(nn, name), numbers)
    x, y = torch.from_numpy(numbers.inputs[0]), torch.from_numpy(numbers.labels)
    logits = (lambda x: _unrolled(made, x)) if name == "rnn_train" else made
    optimizer = OPTIMIZERS[name](made.parameters())
    forward = comp(lambda x, y: nn.functional.cross_entropy(logits(x), y))
    update = comp(optimizer.step)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        update()
        return loss.item()

    return step, lambda loss: [np.asarray(loss)]


def _unrolled(cell: Any, x: Any) -> Any:
    h, outputs = torch.zeros(BATCH, HIDDEN), []
    for part in x:
        h = torch.tanh(cell.wx(part) + cell.wh(h))
        outputs.append(cell.out(h))
    return torch.stack(outputs).reshape(-1, FEATURES)


def _normalization(name: str, numbers: Problem, comp: Any) -> Pair:
    """Autograd runs the forward pass at each call, and keeps its output."""
    layer = name == "layernorm_grad"
    size = numbers.inputs[0].shape[1]
    norm = nn.LayerNorm(size) if layer else nn.BatchNorm1d(size, track_running_stats=False)
    norm.load_state_dict({key[1:]: torch.from_numpy(a) for key, a in numbers.parameters.items()})
    x, upstream = (torch.from_numpy(a) for a in numbers.inputs)
    x.requires_grad_()
    f = comp(norm)

    def call() -> Any:
        x.grad = None
        norm.zero_grad()
        f(x).backward(upstream)
        return x.grad, norm.weight.grad, norm.bias.grad

    return call, lambda result: [g.numpy() for g in result]


def _product(name: str, numbers: Problem, comp: Any) -> Pair:
    a, b = (torch.from_numpy(v) for v in numbers.inputs)
    f = comp(torch.matmul)
    return lambda: f(a, b), lambda result: [result.numpy()]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "mlp_train": lambda p: torch.optim.Adam(p, 1e-3),
    "deep100_train": lambda p: torch.optim.SGD(p, 1e-2),
    "cnn_train": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
    "rnn_train": lambda p: torch.optim.Adam(p, 1e-3),
}
MAKERS: dict[str, Callable[[str, Problem, Any], Pair]] = {
    "mlp_infer1": _inference,
    "cnn_infer1": _inference,
    **dict.fromkeys(OPTIMIZERS, _training),
    "layernorm_grad": _normalization,
    "batchnorm_grad": _normalization,
    "gemm1024": _product,
}
