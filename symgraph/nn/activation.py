"""Activation functions as modules, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from symgraph.dimension import product
from symgraph.errors import ShapeError
from symgraph.nn.module import Module
from symgraph.ops.activation import elu, gelu, leaky_relu, relu, selu, sigmoid, silu, softplus
from symgraph.ops.elementary import tanh
from symgraph.ops.function import lift_like
from symgraph.ops.layout import normal_axis, reshape
from symgraph.ops.normalize import log_softmax, softmax


class Identity(Module):
    """x itself."""

    def forward(self, x: Any) -> Any:
        return x


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return relu(x)


class LeakyReLU(Module):
    """x above 0, negative_slope * x below."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return leaky_relu(x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x above 0, alpha * (exp(x) - 1) below."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    """Self-normalizing elu."""

    def forward(self, x: Any) -> Any:
        return selu(x)


class GELU(Module):
    """x * Phi(x); approximate="tanh" takes the paper's cheaper formula."""

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(x))."""

    def forward(self, x: Any) -> Any:
        return softplus(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Any:
        return sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        return tanh(x)


class SiLU(Module):
    """x * sigmoid(x)."""

    def forward(self, x: Any) -> Any:
        return silu(x)


class Softmax(Module):
    """exp(x) along an axis, scaled to sum to 1."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along an axis."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Flatten(Module):
    """The axes from start_dim to end_dim merged into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        first = normal_axis("Flatten", self.start_dim, x.ndim)
        last = normal_axis("Flatten", self.end_dim, x.ndim)
        if first > last:
            raise ShapeError(f"{self.label}: axis {first} stands behind axis {last} in {x.type}")
        merged = product(x.shape[first : last + 1])
        return reshape(x, (*x.shape[:first], merged, *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
