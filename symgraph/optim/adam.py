"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from symgraph.ops.elementary import expm1, rsqrt, sqrt
from symgraph.optim.optimizer import Optimizer, Rate, check_range, like
from symgraph.value import Value


class Adam(Optimizer):
    """p - lr * m' / (sqrt(v') + eps), m' and v' the moments corrected for their start at 0.

    m = beta1 * m + (1 - beta1) * gradient, v = beta2 * v + (1 - beta2) * gradient^2 (Kingma and Ba 2015).
    weight_decay adds weight_decay * p to the gradient. As PyTorch computes it.
    """

    slots = ("m", "v")
    counts_steps = True

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(lr)
        self.betas = (check_range("beta1", betas[0]), check_range("beta2", betas[1]))
        self.eps = check_range("eps", eps, float("inf"))
        self.weight_decay = check_range("weight_decay", weight_decay, float("inf"))

    def scalars(self, step: Value) -> Mapping[str, Any]:
        first, second = (_missing_share(beta, step) for beta in self.betas)
        return {"rate": like(self.lr, step) / first, "scale": rsqrt(second)}

    def update(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        return self._descend(parameter, self._decayed(parameter, gradient), slots, scalars)

    def _decayed(self, parameter: Any, gradient: Any) -> Any:
        return gradient + self.weight_decay * parameter if self.weight_decay else gradient

    def _descend(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        beta1, beta2 = self.betas
        m = slots["m"] + (1.0 - beta1) * (gradient - slots["m"])
        v = beta2 * slots["v"] + (1.0 - beta2) * gradient * gradient
        # The corrections are scalars in float64; only these products are as large as the parameter.
        rate, scale = (like(scalars[name], parameter) for name in ("rate", "scale"))
        return parameter - rate * m / (sqrt(v) * scale + self.eps), {"m": m, "v": v}


class AdamW(Adam):
    """Adam with the decay beside the gradient: p is first scaled by 1 - lr * weight_decay.

    Loshchilov and Hutter 2019. As PyTorch computes it.
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(lr, betas, eps, weight_decay)

    def update(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        if self.weight_decay:
            parameter = parameter * (1.0 - like(self.lr, parameter) * self.weight_decay)
        return self._descend(parameter, gradient, slots, scalars)


def _missing_share(beta: float, step: Value) -> Any:
    """1 - beta^step, accurate while beta^step is near 1."""
    return -expm1(step * (math.log(beta) if beta else -math.inf))
