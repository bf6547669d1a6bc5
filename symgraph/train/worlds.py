"""The same model, seed and batches trained in either world; where the two differ is side by side here."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import nn, optim
from symgraph.train import digits
from symgraph.train.progress import Progress

try:
    import resource
except ImportError:  # Unix has it
    resource = None

WORLDS = ("eager", "static")
BATCH = 64
LEARNING_RATE = 3e-3

Step = Callable[[np.ndarray, np.ndarray], float]
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run depends on: equal settings give equal losses."""

    epochs: int = 15
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run's figures. `work`: op calls or kernel launches a step; `peak_bytes`: see `peak_bytes`."""

    world: str
    losses: list[float]
    accuracy: float
    step_seconds: float
    training_seconds: float
    compile_seconds: float
    from_cache: bool
    work: int
    peak_bytes: int | None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Outcome:
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class Compiled:
    """The two functions of the static world."""

    step: sg.Function
    predict: sg.Function


def compile_model(model: nn.Module, threads: int | None = None) -> Compiled:
    """A training step and a classifier of the digits, for batches of any size."""
    x = sg.input("x", ("batch", digits.PIXELS))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    logits = model(x)
    loss = nn.cross_entropy(logits, y)
    updates = optim.Adam(LEARNING_RATE).minimize(loss, model.parameters())
    return Compiled(
        sg.function([x, y], loss, updates, training=True, name="training_step", threads=threads),
        sg.function([x], {"probabilities": nn.softmax(logits)}, name="digits", threads=threads),
    )


def train(world: str, settings: Settings, quiet: bool = False) -> tuple[Outcome, nn.Module]:
    """Train in one world, on one thread; the model's weights are then the trained ones."""
    sg.seed(settings.seed)
    model = digits.model()
    return (_train_eagerly if world == "eager" else _train_compiled)(model, settings, quiet), model


def _train_eagerly(model: nn.Module, settings: Settings, quiet: bool) -> Outcome:
    optimizer = optim.Adam(LEARNING_RATE)
    parameters = model.parameters()

    def step(images: np.ndarray, labels: np.ndarray) -> float:
        loss: Any = nn.cross_entropy(model(sg.tensor(images)), sg.tensor(labels))
        model.zero_grad()
        loss.backward()
        optimizer.step(parameters)
        return loss.item()

    def predict(images: np.ndarray) -> np.ndarray:
        model.eval()
        with sg.no_grad():
            return np.asarray(nn.softmax(model(sg.tensor(images))))

    before = sg.Tensor.applied
    losses, times = _epochs("eager", step, settings, quiet)
    calls = (sg.Tensor.applied - before) // len(losses)
    return _outcome("eager", losses, times, predict, work=calls)


def _train_compiled(model: nn.Module, settings: Settings, quiet: bool) -> Outcome:
    start = time.perf_counter()
    compiled = compile_model(model, threads=1)
    seconds = time.perf_counter() - start
    report = compiled.step.report()

    def step(images: np.ndarray, labels: np.ndarray) -> float:
        return float(compiled.step(images, labels))

    def predict(images: np.ndarray) -> np.ndarray:
        return compiled.predict(images)["probabilities"]

    losses, times = _epochs("compiled", step, settings, quiet)
    return _outcome(
        "static",
        losses,
        times,
        predict,
        compile_seconds=seconds,
        from_cache=report.from_cache,
        work=len(report.launches),
    )


def _epochs(title: str, step: Step, settings: Settings, quiet: bool) -> tuple[list[float], list[float]]:
    """The loss of every step and its seconds."""
    data = digits.load()
    batches = sg.data.batches(data.images, data.labels, size=BATCH, shuffle=True, seed=settings.seed)
    losses, times = [], []
    with Progress(title, settings.epochs, len(batches), quiet=quiet) as progress:
        for _ in range(settings.epochs):
            for images, labels in batches:
                start = time.perf_counter()
                losses.append(step(images, labels))
                times.append(time.perf_counter() - start)
                progress.step(losses[-1])
    return losses, times


def _outcome(
    world: str,
    losses: list[float],
    times: list[float],
    predict: Predict,
    *,
    work: int,
    compile_seconds: float = 0.0,
    from_cache: bool = False,
) -> Outcome:
    data = digits.load()
    found = predict(data.test_images).argmax(axis=1)
    return Outcome(
        world=world,
        losses=losses,
        accuracy=float(np.mean(found == data.test_labels)),
        step_seconds=statistics.median(times),
        training_seconds=sum(times),
        compile_seconds=compile_seconds,
        from_cache=from_cache,
        work=work,
        peak_bytes=peak_bytes(),
    )


def peak_bytes() -> int | None:
    """The most memory this process has had in RAM at once; None where the system does not tell (Windows).

    Linux's own figure where there is one: getrusage counts the parent's memory too, up to the exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
