"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from symgraph.eager import Parameter
from symgraph.errors import ShapeError
from symgraph.nn import init
from symgraph.nn.module import Module
from symgraph.ops.function import lift_like
from symgraph.ops.layout import matrix_transpose
from symgraph.ops.linear import matmul
from symgraph.types import DType, float32


class Linear(Module):
    """x @ weight.T + bias over the last axis; weight has the shape (out_features, in_features).

    Both start uniform in +-1/sqrt(in_features), as PyTorch's do.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: DType = float32):
        in_features, out_features = init.whole_sizes("Linear", in_features, out_features)
        self.in_features = in_features
        self.out_features = out_features
        bound = in_features**-0.5 if in_features else 0.0
        self.weight = Parameter(init.uniform((out_features, in_features), -bound, bound, dtype))
        self.bias = Parameter(init.uniform((out_features,), -bound, bound, dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        x = lift_like(x, (x,))
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ShapeError(f"{self.label}: expected (..., {self.in_features}), got {x.type}")
        product = matmul(x, matrix_transpose(lift_like(self.weight, (x, self.weight))))
        return product if self.bias is None else product + self.bias

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
