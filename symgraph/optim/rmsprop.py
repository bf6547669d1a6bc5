"""RMSProp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from symgraph.ops.elementary import sqrt
from symgraph.optim.optimizer import Optimizer, Rate, check_range, like


class RMSProp(Optimizer):
    """p - lr * gradient / (sqrt(v) + eps), v a moving average of gradient^2 (Tieleman and Hinton 2012).

    centered subtracts the squared moving average of the gradient from v; momentum averages the quotient.
    As PyTorch computes it.
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        super().__init__(lr)
        self.alpha = check_range("alpha", alpha)
        self.eps = check_range("eps", eps, float("inf"))
        self.weight_decay = check_range("weight_decay", weight_decay, float("inf"))
        self.momentum = check_range("momentum", momentum, float("inf"))
        self.centered = centered
        self.slots = ("v", *(("mean",) if centered else ()), *(("momentum",) if momentum else ()))

    def update(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        v = self.alpha * slots["v"] + (1.0 - self.alpha) * gradient * gradient
        moved = {"v": v}
        spread: Any = v
        if self.centered:
            moved["mean"] = slots["mean"] + (1.0 - self.alpha) * (gradient - slots["mean"])
            spread = v - moved["mean"] * moved["mean"]
        root: Any = sqrt(spread)
        direction = gradient / (root + self.eps)
        if self.momentum:
            direction = moved["momentum"] = self.momentum * slots["momentum"] + direction
        return parameter - like(self.lr, parameter) * direction, moved
