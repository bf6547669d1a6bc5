"""The demo's task: 1,797 real images of handwritten digits, 8 by 8 pixels, and a model for them."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from symgraph import nn
from symgraph.data import split
from symgraph.errors import InputError

PIXELS = 64
CLASSES = 10
LARGEST_PIXEL = 16  # the images have 17 shades
TRAINING_SHARE = 0.8
SPLIT_SEED = 0  # the split stays the same whatever the seed of a run


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """float32 images in [0, 1], one of 64 pixels a row; int64 labels."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load() -> Digits:
    """scikit-learn's copy of Alpaydin and Kaynak's digits (1998), split 80 to 20, always the same way.

    The table is read from where scikit-learn keeps it, without importing that: the import would take longer
    than the training, and more memory. Raises InputError where scikit-learn is not installed.
    """
    with gzip.open(_table(), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    images = table[:, :PIXELS] / np.float32(LARGEST_PIXEL)
    labels = table[:, PIXELS].astype(np.int64)
    (images, labels), (test_images, test_labels) = split(
        images, labels, fraction=TRAINING_SHARE, seed=SPLIT_SEED
    )
    return Digits(images=images, labels=labels, test_images=test_images, test_labels=test_labels)


def _table() -> Path:
    found = importlib.util.find_spec("sklearn")
    for folder in found.submodule_search_locations or () if found else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return path
    raise InputError(
        "the images come with scikit-learn, which is not installed: python -m pip install 'symgraph[demo]'"
    )


def model() -> nn.Sequential:
    """64 - 128 - 64 - 10 with batch norm and dropout. The biases before a batch norm would have no effect."""
    return nn.Sequential(
        nn.Linear(PIXELS, 128, bias=False),
        nn.BatchNorm(128),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(128, 64, bias=False),
        nn.BatchNorm(64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, CLASSES),
    )
