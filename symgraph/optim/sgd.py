"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symgraph.ops.logic import less_equal, where
from symgraph.optim.optimizer import Optimizer, Rate, check_range, like
from symgraph.value import Value


class SGD(Optimizer):
    """p - lr * d, with d the gradient or its momentum, as PyTorch computes it.

    buffer = momentum * buffer + (1 - dampening) * gradient (the first time the gradient itself);
    nesterov: d = gradient + momentum * buffer. weight_decay adds weight_decay * p to the gradient.
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(lr)
        self.momentum = check_range("momentum", momentum, float("inf"))
        self.dampening = float(dampening)
        self.weight_decay = check_range("weight_decay", weight_decay, float("inf"))
        self.nesterov = nesterov
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")
        self.slots = ("momentum",) if momentum else ()
        self.counts_steps = bool(momentum and dampening)

    def scalars(self, step: Value) -> Mapping[str, Any]:
        return {"first": less_equal(step, 1.0)}

    def update(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if not self.momentum:
            return parameter - like(self.lr, parameter) * gradient, {}
        fresh = gradient
        if self.counts_steps:
            fresh = where(scalars["first"], gradient, (1.0 - self.dampening) * gradient)
        buffer = self.momentum * slots["momentum"] + fresh
        direction = gradient + self.momentum * buffer if self.nesterov else buffer
        return parameter - like(self.lr, parameter) * direction, {"momentum": buffer}
