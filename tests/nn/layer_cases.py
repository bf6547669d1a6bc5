"""Layers compared with PyTorch: name -> (how to make it in either namespace, shape of its input).

`python tests/nn/layer_cases.py` with torch installed writes layer_reference.npz anew: for each case the
state dict, the input, the output, an upstream gradient and the gradients of input and parameters; for layers
with moving averages their state after three training calls, and the output of inference then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("layer_reference.npz")

CASES = {
    "linear": (lambda nn: nn.Linear(5, 3), (4, 5)),
    "linear_without_bias": (lambda nn: nn.Linear(5, 3, bias=False), (2, 4, 5)),
    "batch_norm": (lambda nn: nn.BatchNorm1d(3), (8, 3)),
    "batch_norm_3d": (lambda nn: nn.BatchNorm1d(3, eps=1e-3, momentum=0.25), (4, 3, 5)),
    "batch_norm_4d": (lambda nn: nn.BatchNorm2d(2), (3, 2, 4, 3)),
    "batch_norm_cumulative": (lambda nn: nn.BatchNorm1d(3, momentum=None), (8, 3)),
    "batch_norm_plain": (lambda nn: nn.BatchNorm1d(3, affine=False), (8, 3)),
    "batch_norm_untracked": (lambda nn: nn.BatchNorm1d(3, track_running_stats=False), (8, 3)),
    "layer_norm": (lambda nn: nn.LayerNorm(6), (4, 6)),
    "layer_norm_2_axes": (lambda nn: nn.LayerNorm((3, 4), eps=1e-3), (2, 3, 4)),
    "layer_norm_plain": (lambda nn: nn.LayerNorm(6, elementwise_affine=False), (4, 6)),
    "rms_norm": (lambda nn: nn.RMSNorm(6), (4, 6)),
    "rms_norm_eps": (lambda nn: nn.RMSNorm((3, 4), eps=1e-2), (2, 3, 4)),
    "group_norm": (lambda nn: nn.GroupNorm(2, 6), (3, 6, 4)),
    "instance_norm": (lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 5)),
    "relu": (lambda nn: nn.ReLU(), (4, 5)),
    "leaky_relu": (lambda nn: nn.LeakyReLU(0.2), (4, 5)),
    "elu": (lambda nn: nn.ELU(0.7), (4, 5)),
    "selu": (lambda nn: nn.SELU(), (4, 5)),
    "gelu": (lambda nn: nn.GELU(), (4, 5)),
    "gelu_tanh": (lambda nn: nn.GELU(approximate="tanh"), (4, 5)),
    "softplus": (lambda nn: nn.Softplus(), (4, 5)),
    "sigmoid": (lambda nn: nn.Sigmoid(), (4, 5)),
    "tanh": (lambda nn: nn.Tanh(), (4, 5)),
    "silu": (lambda nn: nn.SiLU(), (4, 5)),
    "softmax": (lambda nn: nn.Softmax(dim=1), (4, 5)),
    "log_softmax": (lambda nn: nn.LogSoftmax(dim=-1), (4, 5)),
    "flatten": (lambda nn: nn.Flatten(), (2, 3, 4)),
    "identity": (lambda nn: nn.Identity(), (2, 3)),
    "mlp": (
        lambda nn: nn.Sequential(
            nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3), nn.LogSoftmax(dim=1)
        ),
        (6, 5),
    ),
}


def write_reference() -> None:
    import torch

    torch.manual_seed(0)
    found: dict[str, np.ndarray] = {}
    for name, (make, shape) in CASES.items():
        layer = make(torch.nn)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        # After torch's own draw, an offset makes the statistics of normalizations matter.
        x = (torch.randn(shape) * 1.5 + 0.4).requires_grad_()
        for key, value in layer.state_dict().items():
            found[f"{name}/state/{key}"] = value.numpy().copy()
        y = layer(x)
        g = torch.randn(y.shape)
        y.backward(g)
        assert x.grad is not None
        found |= {f"{name}/x": x.detach().numpy(), f"{name}/y": y.detach().numpy(), f"{name}/g": g.numpy()}
        found[f"{name}/dx"] = x.grad.numpy()
        for key, parameter in layer.named_parameters():
            found[f"{name}/d/{key}"] = parameter.grad.numpy()
        if any(True for _ in layer.buffers()):
            layer(x * 2.0 - 1.0)
            layer(x - 0.5)
            for key, value in layer.state_dict().items():
                found[f"{name}/after/{key}"] = value.numpy().copy()
            found[f"{name}/inference"] = layer.eval()(x).detach().numpy()
    np.savez_compressed(REFERENCE, **found)


if __name__ == "__main__":
    write_reference()
