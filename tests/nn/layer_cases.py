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
    "conv1d": (lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 11)),
    "conv2d": (lambda nn: nn.Conv2d(3, 4, 3, padding=1), (2, 3, 6, 5)),
    "conv2d_strided": (lambda nn: nn.Conv2d(3, 5, (3, 2), stride=(2, 3), bias=False), (2, 3, 8, 9)),
    "conv2d_depthwise": (lambda nn: nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=4), (2, 4, 7, 6)),
    "conv2d_pointwise": (lambda nn: nn.Conv2d(5, 3, 1), (2, 5, 4, 3)),
    "conv_transpose1d": (lambda nn: nn.ConvTranspose1d(3, 4, 4, 3, padding=1), (2, 3, 5)),
    "conv_transpose2d": (
        lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, padding=1, output_padding=1, groups=2), (2, 4, 4, 5)
    ),
    "conv_transpose2d_dilated": (
        lambda nn: nn.ConvTranspose2d(2, 3, (2, 3), (1, 2), padding=3, dilation=2, bias=False), (2, 2, 7, 6)
    ),
    "max_pool1d": (lambda nn: nn.MaxPool1d(3, 2, padding=1), (2, 3, 9)),
    "max_pool2d": (lambda nn: nn.MaxPool2d(2), (2, 3, 7, 6)),
    "max_pool2d_overlapping": (
        lambda nn: nn.MaxPool2d((3, 2), (2, 1), padding=1, ceil_mode=True), (2, 3, 8, 7)
    ),
    "max_pool2d_wide": (lambda nn: nn.MaxPool2d(5, 3, padding=2), (2, 2, 11, 9)),
    "avg_pool1d": (lambda nn: nn.AvgPool1d(3, 2, padding=1, ceil_mode=True), (2, 3, 8)),
    "avg_pool2d": (lambda nn: nn.AvgPool2d((2, 3)), (2, 3, 7, 6)),
    "avg_pool2d_counted": (
        lambda nn: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False), (2, 3, 8, 6)
    ),
    "adaptive_avg_pool1d": (lambda nn: nn.AdaptiveAvgPool1d(3), (2, 3, 8)),
    "adaptive_avg_pool2d": (lambda nn: nn.AdaptiveAvgPool2d((3, 4)), (2, 3, 7, 8)),
    "adaptive_avg_pool2d_global": (lambda nn: nn.AdaptiveAvgPool2d(1), (2, 3, 4, 5)),
    "adaptive_avg_pool2d_equal": (lambda nn: nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 3, 6)),
    "adaptive_max_pool2d": (lambda nn: nn.AdaptiveMaxPool2d(2), (2, 3, 4, 6)),
    "cnn": (
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(6, 3),
        ),
        (5, 1, 8, 8),
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
