"""The demo's pictures: its own functions, and a net of one hidden layer that is small enough to read."""

from __future__ import annotations

from pathlib import Path

import symgraph as sg
from symgraph import nn, optim
from symgraph.train import digits
from symgraph.train.worlds import Compiled


def draw_all(compiled: Compiled, folder: Path) -> list[Path]:
    """Forward graph, training step with its fused kernels, and the one-layer net before fusion."""
    return [
        compiled.predict.draw(folder / "forward.svg", stage="resolve_phase"),
        compiled.predict.draw(folder / "forward_kernels.svg", stage="clusters"),
        compiled.step.draw(folder / "training_step.svg", stage="clusters"),
        one_layer().draw(folder / "one_layer.svg", stage="derive_gradients"),
    ]


def one_layer() -> sg.Function:
    """A training step of one hidden layer with batch norm."""
    x = sg.input("x", ("batch", digits.PIXELS))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    hidden = nn.Linear(digits.PIXELS, 128, bias=False)
    model = nn.Sequential(hidden, nn.BatchNorm(128), nn.ReLU(), nn.Linear(128, digits.CLASSES))
    loss = nn.cross_entropy(model(x), y)
    updates = optim.SGD(0.1).minimize(loss, model.parameters())
    return sg.function([x, y], loss, updates, training=True, name="one_layer")
