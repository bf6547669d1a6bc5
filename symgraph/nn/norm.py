"""Normalization layers. What they compute is in symgraph/ops/normalize.py; here are weights and averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symgraph.dimension import product
from symgraph.eager import Parameter, State
from symgraph.errors import ShapeError
from symgraph.nn import init
from symgraph.nn.module import Module
from symgraph.ops.arithmetic import divide, maximum, multiply
from symgraph.ops.casting import cast
from symgraph.ops.elementary import rsqrt
from symgraph.ops.function import lift_like
from symgraph.ops.normalize import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    per_channel,
    rms_norm,
)
from symgraph.ops.phase import by_phase, carry, read
from symgraph.ops.reduce import extent_of, mean, var
from symgraph.types import DType, float32


class BatchNorm(Module):
    """Each channel (axis 1) standardized over all other axes, times weight plus bias.

    Ioffe and Szegedy 2015. Training takes the batch's own statistics, and moves the running ones:
    running = (1 - momentum) * running + momentum * batch, with the unbiased variance (0 of a single value);
    momentum=None averages over all batches. Inference takes the running ones.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DType = float32,
    ):
        init.whole_sizes("BatchNorm", num_features)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(init.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(init.zeros(num_features, dtype)) if affine else None
        if track_running_stats:
            self.running_mean = State("running_mean", init.zeros(num_features))
            self.running_var = State("running_var", init.ones(num_features))
            self.num_batches_tracked = State("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ShapeError(f"{self.label}: expected (batch, {self.num_features}, ...), got {x.type}")
        if not self.track_running_stats:
            return batch_norm(x, self.weight, self.bias, self.eps)
        return by_phase(x, self.training, lambda: self._by_batch(x), lambda: self._by_average(x))

    def _by_batch(self, x: Any) -> Any:
        axes = tuple(i for i in range(x.ndim) if i != 1)
        count: Any = extent_of(product(x.shape[a] for a in axes), x)
        unbiased = multiply(var(x, axes), divide(count, maximum(count - 1.0, 1.0)))
        seen = read(self.num_batches_tracked, x)
        tracked: Any = seen + 1
        share: Any = self.momentum if self.momentum is not None else divide(1.0, cast(tracked, float32))
        y: Any = batch_norm(x, self.weight, self.bias, self.eps)
        y = _moved(y, self.running_mean, mean(x, axes), share)
        y = _moved(y, self.running_var, unbiased, share)
        return carry(y, self.num_batches_tracked, seen, tracked)

    def _by_average(self, x: Any) -> Any:
        center, variance = (lift_like(s, (x, s)) for s in (self.running_mean, self.running_var))
        scale: Any = rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        # x - mean first: folding the mean into the bias would cancel digits where it is large.
        y = (x - per_channel(center, x)) * per_channel(scale, x)
        y = cast(y, x.dtype)
        return y if self.bias is None else y + per_channel(lift_like(self.bias, (x, self.bias)), x)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


def _moved(y: Any, average: State, batch: Any, share: Any) -> Any:
    """y, carrying a moving average that takes `share` of the batch's value."""
    seen: Any = read(average, y)
    return carry(y, average, seen, seen * (1.0 - share) + cast(batch, float32) * share)


class BatchNorm1d(BatchNorm):
    """PyTorch's name: over (batch, channels) or (batch, channels, length)."""


class BatchNorm2d(BatchNorm):
    """PyTorch's name: over (batch, channels, height, width)."""


class LayerNorm(Module):
    """Standardized over the last axes, `normalized_shape`, times weight plus bias (Ba et al. 2016)."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DType = float32,
    ):
        self.normalized_shape = _as_tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(init.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        with_bias = elementwise_affine and bias
        self.bias = Parameter(init.zeros(self.normalized_shape, dtype)) if with_bias else None

    def forward(self, x: Any) -> Any:
        x, axes = _last_axes(self, x, self.normalized_shape)
        return layer_norm(x, self.weight, self.bias, self.eps, axes)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) over the last axes, times weight (Zhang and Sennrich 2019).

    eps=None is the spacing of the input's dtype at 1, as in PyTorch.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DType = float32,
    ):
        self.normalized_shape = _as_tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(init.ones(self.normalized_shape, dtype)) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        x, axes = _last_axes(self, x, self.normalized_shape)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return rms_norm(x, self.weight, eps, axes)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Each group of channels standardized over it and all later axes; weight and bias by channel.

    Wu and He 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DType = float32,
    ):
        init.whole_sizes("GroupNorm", num_groups, num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight = Parameter(init.ones(num_channels, dtype)) if affine else None
        self.bias = Parameter(init.zeros(num_channels, dtype)) if affine else None

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"{self.label}: expected (batch, {self.num_channels}, ...), got {x.type}")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class InstanceNorm(Module):
    """Each channel of each sample standardized over all later axes (Ulyanov et al. 2016)."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False, dtype: DType = float32):
        init.whole_sizes("InstanceNorm", num_features)
        self.num_features = num_features
        self.eps = eps
        self.affine = affine
        self.weight = Parameter(init.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(init.zeros(num_features, dtype)) if affine else None

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        if x.ndim < 3 or x.shape[1] != self.num_features:
            expected = f"(batch, {self.num_features}, length, ...)"
            raise ShapeError(f"{self.label}: expected {expected}, got {x.type}")
        return instance_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}"


class InstanceNorm1d(InstanceNorm):
    """PyTorch's name: over (batch, channels, length)."""


class InstanceNorm2d(InstanceNorm):
    """PyTorch's name: over (batch, channels, height, width)."""


def _as_tuple(shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    return init.whole_sizes("normalized_shape", *sizes)


def _last_axes(layer: Module, x: Any, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    x = lift_like(x, (x,))
    if x.ndim < len(shape) or x.shape[x.ndim - len(shape) :] != shape:
        expected = ", ".join(("...", *map(str, shape)))
        raise ShapeError(f"{layer.label}: expected ({expected}), got {x.type}")
    return x, tuple(range(x.ndim - len(shape), x.ndim))
