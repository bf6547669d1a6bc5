"""Layers as modules, and their functional forms."""

from symgraph.eager import Parameter
from symgraph.nn import init
from symgraph.nn.activation import (
    ELU,
    GELU,
    SELU,
    Flatten,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from symgraph.nn.dropout import Dropout, dropout
from symgraph.nn.embedding import Embedding
from symgraph.nn.linear import Linear
from symgraph.nn.module import Module
from symgraph.nn.norm import (
    BatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from symgraph.nn.sequential import ModuleList, Sequential
from symgraph.ops.activation import elu, gelu, leaky_relu, relu, selu, sigmoid, silu, softplus
from symgraph.ops.elementary import tanh
from symgraph.ops.loss import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse
from symgraph.ops.normalize import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    log_softmax,
    rms_norm,
    softmax,
)

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "ModuleList",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "elu",
    "gelu",
    "group_norm",
    "init",
    "instance_norm",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "mse",
    "relu",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
