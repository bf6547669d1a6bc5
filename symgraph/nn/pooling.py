"""Pooling layers, with PyTorch's arguments."""

from __future__ import annotations

from typing import Any

from symgraph.nn.module import Module
from symgraph.ops import pooling
from symgraph.ops.spatial import Setting


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Setting,
        stride: Setting | None = None,
        padding: Setting = 0,
        ceil_mode: bool = False,
    ):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest of each window over (batch, channels, length)."""

    def forward(self, x: Any) -> Any:
        return pooling.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class MaxPool2d(_MaxPool):
    """The largest of each window over (batch, channels, height, width)."""

    def forward(self, x: Any) -> Any:
        return pooling.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class _AvgPool(_MaxPool):
    def __init__(
        self,
        kernel_size: Setting,
        stride: Setting | None = None,
        padding: Setting = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def _settings(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, count_include_pad={self.count_include_pad}"


class AvgPool1d(_AvgPool):
    """The mean of each window over (batch, channels, length)."""

    def forward(self, x: Any) -> Any:
        return pooling.avg_pool1d(x, *self._settings())


class AvgPool2d(_AvgPool):
    """The mean of each window over (batch, channels, height, width)."""

    def forward(self, x: Any) -> Any:
        return pooling.avg_pool2d(x, *self._settings())


class _Adaptive(Module):
    def __init__(self, output_size: Any):
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """(batch, channels, length) averaged to the given length."""

    def forward(self, x: Any) -> Any:
        return pooling.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """(batch, channels, height, width) averaged to the given height and width; 1 pools globally."""

    def forward(self, x: Any) -> Any:
        return pooling.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool1d(_Adaptive):
    """(batch, channels, length) pooled to the given length, which must divide it."""

    def forward(self, x: Any) -> Any:
        return pooling.adaptive_max_pool1d(x, self.output_size)


class AdaptiveMaxPool2d(_Adaptive):
    """(batch, channels, height, width) pooled to the given height and width, which must divide them."""

    def forward(self, x: Any) -> Any:
        return pooling.adaptive_max_pool2d(x, self.output_size)
