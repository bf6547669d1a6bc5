"""Convolution layers, with PyTorch's arguments, weights and initialization."""

from __future__ import annotations

from math import prod
from typing import Any

from symgraph.eager import Parameter
from symgraph.errors import ShapeError
from symgraph.nn import init
from symgraph.nn.module import Module
from symgraph.ops.function import lift_like
from symgraph.ops.spatial import (
    Setting,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    each_axis,
)
from symgraph.types import DType, float32


class _Convolution(Module):
    """Weights and settings; abstract."""

    rank: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Setting,
        stride: Setting,
        padding: Setting | str,
        dilation: Setting,
        groups: int,
        bias: bool,
        dtype: DType,
    ):
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"{name}: {in_channels} and {out_channels} channels do not divide into {groups}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = each_axis(name, "kernel_size", kernel_size, self.rank, 1)
        self.stride = each_axis(name, "stride", stride, self.rank, 1)
        self.padding = padding
        self.dilation = each_axis(name, "dilation", dilation, self.rank, 1)
        self.groups = groups
        outer = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (outer[0], outer[1] // groups, *self.kernel_size)
        bound = prod(shape[1:]) ** -0.5
        self.weight = Parameter(init.uniform(shape, -bound, bound, dtype))
        self.bias = Parameter(init.uniform((out_channels,), -bound, bound, dtype)) if bias else None

    def _checked(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        if x.ndim != self.rank + 2 or x.shape[1] != self.in_channels:
            axes = ("length",) if self.rank == 1 else ("height", "width")
            expected = ", ".join(("batch", str(self.in_channels), *axes))
            raise ShapeError(f"{self.label}: expected ({expected}), got {x.type}")
        return x

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}"
        )


class _Forward(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Setting,
        stride: Setting = 1,
        padding: Setting | str = 0,
        dilation: Setting = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: DType = float32,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )


class Conv1d(_Forward):
    """Cross-correlation over (batch, channels, length); weight (out, in / groups, K).

    Both start uniform in +-1/sqrt(in / groups * K), as PyTorch's do.
    """

    rank = 1

    def forward(self, x: Any) -> Any:
        x = self._checked(x)
        return conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv2d(_Forward):
    """Cross-correlation over (batch, channels, height, width); weight (out, in / groups, Kh, Kw).

    Both start uniform in +-1/sqrt(in / groups * Kh * Kw), as PyTorch's do.
    """

    rank = 2

    def forward(self, x: Any) -> Any:
        x = self._checked(x)
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Setting,
        stride: Setting = 1,
        padding: Setting = 0,
        output_padding: Setting = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Setting = 1,
        dtype: DType = float32,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )
        self.output_padding = output_padding

    def _settings(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.output_padding, self.groups, self.dilation


class ConvTranspose1d(_Transposed):
    """The adjoint of Conv1d in its input; weight (in, out / groups, K)."""

    rank = 1

    def forward(self, x: Any) -> Any:
        return conv_transpose1d(self._checked(x), self.weight, self.bias, *self._settings())


class ConvTranspose2d(_Transposed):
    """The adjoint of Conv2d in its input; weight (in, out / groups, Kh, Kw)."""

    rank = 2

    def forward(self, x: Any) -> Any:
        return conv_transpose2d(self._checked(x), self.weight, self.bias, *self._settings())
