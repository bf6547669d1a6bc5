"""Declaring composites: a named small graph with, where one exists, a closed-form gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symgraph.eager import Tensor, no_grad
from symgraph.op import Infer, Kind, Op
from symgraph.ops.function import Function, lift_like
from symgraph.value import Value, apply


def composite(name: str, infer: Infer) -> Callable[[Callable[..., Any]], Function]:
    """Declare a composite by its graph, `body(*values, **attrs)`, and the type of its result.

    `name` is the user's word for it, in reports, pictures and errors.
    """

    def declare(body: Callable[..., Any]) -> Function:
        def evaluate(*arrays: np.ndarray, **attrs: Any) -> np.ndarray:
            with no_grad():
                return body(*(Tensor(a) for a in arrays), **attrs).data

        op = Op(name, Kind.COMPOSITE, infer, evaluate, body, doc=body.__doc__ or "")

        def call(*operands: Any, **attrs: Any) -> Value:
            return apply(op, tuple(lift_like(o, operands) for o in operands), **attrs)

        return Function(op, call, body)

    return declare
