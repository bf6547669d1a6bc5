"""The models of the rows, written once: symgraph's `nn` has PyTorch's names, so either one can be given."""

from __future__ import annotations

from typing import Any

from symgraph.bench.problems import CLASSES, FEATURES, HIDDEN, LAYERS


def model(nn: Any, name: str) -> Any:
    """The model of a row in PyTorch's `torch.nn` or in `symgraph.nn`; its parameters have equal names."""
    return MODELS[name](nn)


def mlp_infer1(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def mlp_train(nn: Any) -> Any:
    return nn.Sequential(
        nn.Linear(784, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, CLASSES),
    )  # fmt: skip


def deep100_train(nn: Any) -> Any:
    layers = ((nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()) for _ in range(LAYERS))
    return nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(64, CLASSES))


def cnn_train(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, CLASSES),
    )  # fmt: skip


def cnn_infer1(nn: Any) -> Any:
    """ResNet-8: a stem, three residual blocks, an average over the image, a classifier."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.a = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
            )  # fmt: skip
            project = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            self.s = nn.Identity() if inputs == outputs else nn.Sequential(*project)
            self.r = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.r(self.a(x) + self.s(x))

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES),
    )  # fmt: skip


def rnn_train(nn: Any) -> Any:
    """The parts of the recurrent cell; each world loops over time in its own way."""

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wx = nn.Linear(FEATURES, HIDDEN)
            self.wh = nn.Linear(HIDDEN, HIDDEN, bias=False)
            self.out = nn.Linear(HIDDEN, FEATURES)

    return Cell()


MODELS = {f.__name__: f for f in (mlp_infer1, mlp_train, deep100_train, cnn_train, cnn_infer1, rnn_train)}
