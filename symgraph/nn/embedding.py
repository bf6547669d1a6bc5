"""Rows of a table, chosen by integers."""

from __future__ import annotations

from typing import Any

from symgraph.eager import Parameter
from symgraph.nn import init
from symgraph.nn.module import Module
from symgraph.ops.function import lift_like
from symgraph.ops.gather import TAKE, within
from symgraph.types import DType, float32
from symgraph.value import apply


class Embedding(Module):
    """weight[x] for integers x of any shape; weight has the shape (num_embeddings, embedding_dim).

    An integer outside [0, num_embeddings) fails the call with an InputError. Weights start standard normal.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: DType = float32):
        init.whole_sizes("Embedding", num_embeddings, embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(init.normal((num_embeddings, embedding_dim), dtype=dtype))

    def forward(self, x: Any) -> Any:
        rows = within(lift_like(x, (x,)), self.num_embeddings, f"{self.label}: an index")
        return apply(TAKE, (self.weight, rows), axis=0)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
