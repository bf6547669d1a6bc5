"""Losses. Each is a mean (or sum) of one number a sample, `reduction` as in PyTorch."""

from __future__ import annotations

from typing import Any

from symgraph.errors import ShapeError
from symgraph.ops.activation import softplus
from symgraph.ops.arithmetic import abs, square, subtract
from symgraph.ops.casting import cast
from symgraph.ops.composite import composite
from symgraph.ops.function import lift_like, require, telling_where
from symgraph.ops.gather import within
from symgraph.ops.layout import normal_axis
from symgraph.ops.logic import equal, where
from symgraph.ops.normalize import logsumexp, softmax
from symgraph.ops.reduce import back, iota, mean, sum_
from symgraph.symbol import placed
from symgraph.types import FLOATS, INTEGERS, TensorType, int64
from symgraph.value import Value


def _infer_cross_entropy(logits: TensorType, labels: TensorType, *, axis: int) -> TensorType:
    require("cross_entropy (logits)", logits.dtype, FLOATS)
    require("cross_entropy (labels)", labels.dtype, INTEGERS)
    expected = tuple(e for i, e in enumerate(logits.shape) if i != axis)
    if labels.shape != expected:
        raise ShapeError(
            f"cross_entropy: logits are {logits}, so labels must have shape {list(expected)}, got {labels}"
        )
    return TensorType(expected, logits.dtype)


@composite("cross_entropy", _infer_cross_entropy)
def cross_entropy_each(logits: Any, labels: Any, *, axis: int) -> Any:
    """-log(softmax(logits)[label]) of each sample."""
    chosen = where(_one_hot(logits, labels, axis), logits, 0.0)
    return logsumexp(logits, axis) - sum_(chosen, axis)


@cross_entropy_each.vjp
def cross_entropy_vjp(logits: Any, labels: Any, out: Any, g: Any, *, axis: int) -> Any:
    hit = cast(_one_hot(logits, labels, axis), logits.dtype)
    return back(g, logits, (axis,)) * (softmax(logits, axis) - hit), None


def _one_hot(logits: Any, labels: Any, axis: int) -> Any:
    return equal(iota(logits.shape, axis, logits), back(cast(labels, int64), logits, (axis,)))


def reduced(values: Value, reduction: str) -> Value:
    if reduction == "mean":
        return mean(values)
    if reduction == "sum":
        return sum_(values)
    if reduction == "none":
        return values
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")


@telling_where
def cross_entropy(logits: Any, labels: Any, axis: int = -1, reduction: str = "mean") -> Value:
    """Cross entropy of softmax(logits) and integer class labels, in nats.

    Shapes: logits (batch, classes), labels (batch,). A label outside [0, classes) is an error.
    """
    value = lift_like(logits, (logits, labels))
    place = normal_axis("cross_entropy", axis, value.ndim)
    checked = within(lift_like(labels, (logits, labels)), value.shape[place], "cross_entropy: a label")
    return reduced(cross_entropy_each(value, checked, axis=place), reduction)


def _same_shape(name: str, prediction: Any, target: Any) -> None:
    shapes = [lift_like(v, (prediction, target)).shape for v in (prediction, target)]
    if shapes[0] != shapes[1]:
        # Broadcasting (n, 1) against (n,) to (n, n) here is a classic silent bug.
        sides = f"prediction {list(shapes[0])} and target {list(shapes[1])}"
        raise placed(ShapeError(f"{name}: {sides} differ in shape"), (prediction, target))


@telling_where
def mse(prediction: Any, target: Any, reduction: str = "mean") -> Value:
    """Squared error; both sides must have one shape."""
    _same_shape("mse", prediction, target)
    return reduced(square(subtract(prediction, target)), reduction)


@telling_where
def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Value:
    """Absolute error; both sides must have one shape."""
    _same_shape("l1_loss", prediction, target)
    return reduced(abs(subtract(prediction, target)), reduction)


@telling_where
def binary_cross_entropy_with_logits(logits: Any, target: Any, reduction: str = "mean") -> Value:
    """-(t log s + (1 - t) log(1 - s)) with s = sigmoid(logits), without overflow."""
    _same_shape("binary_cross_entropy_with_logits", logits, target)
    return reduced(softplus(logits) - lift_like(target, (logits,)) * logits, reduction)
