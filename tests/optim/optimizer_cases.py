"""Optimizers compared with PyTorch: name -> (class, arguments).

`python tests/optim/optimizer_cases.py` with torch installed writes optimizer_reference.npz anew: for each
case the parameter after each of eight steps with the stored gradients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = Path(__file__).with_name("optimizer_reference.npz")
STEPS = 8

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "dampening": ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop_momentum": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.7, "weight_decay": 0.02}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.01, "centered": True, "eps": 1e-4}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam_decay": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1}),
    "adam_without_memory": ("Adam", {"lr": 0.01, "betas": (0.0, 0.5)}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "adamw_decay": ("AdamW", {"lr": 0.02, "weight_decay": 0.3}),
}


def write_reference() -> None:
    import torch

    torch.manual_seed(0)
    start = torch.randn(3, 4)
    gradients = torch.randn(STEPS, 3, 4) * torch.tensor([1.0, 1e-3, 10.0, 1e-6])
    found = {"start": start.numpy(), "gradients": gradients.numpy()}
    for name, (kind, options) in CASES.items():
        parameter = torch.nn.Parameter(start.clone())
        optimizer = getattr(torch.optim, kind)([parameter], **options)
        after = []
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
            after.append(parameter.detach().numpy().copy())
        found[name] = np.stack(after)
    np.savez_compressed(REFERENCE, **found)


if __name__ == "__main__":
    write_reference()
