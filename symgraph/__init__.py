"""symgraph: a define-then-run language for neural networks, compiled to native CPU code.

Functions follow the Python array API's names, layers and eager tensors PyTorch's.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from symgraph import data, nn, optim
from symgraph.creation import constant, ones, rand, randn, zeros
from symgraph.creation import state as state
from symgraph.eager import Parameter, State, Tensor, no_grad, tensor
from symgraph.errors import (
    BackendUnavailable,
    CheckpointError,
    CompileError,
    DTypeError,
    ExportError,
    GradientError,
    GraphError,
    InputError,
    NumericsError,
    ShapeError,
    StateError,
    SymgraphError,
)
from symgraph.gradient import grad
from symgraph.graph import Graph
from symgraph.ops.activation import sigmoid
from symgraph.ops.arithmetic import (
    abs,
    add,
    clip,
    divide,
    floor,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    sign,
    square,
    subtract,
)
from symgraph.ops.casting import cast, full_like, stop_gradient, zeros_like
from symgraph.ops.elementary import cos, erf, exp, expm1, log, log1p, pow, rsqrt, sin, sqrt, tanh
from symgraph.ops.gather import scatter_add, take
from symgraph.ops.layout import (
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    pad,
    permute_dims,
    reshape,
    squeeze,
    stack,
    unstack,
)
from symgraph.ops.linear import einsum, matmul
from symgraph.ops.logic import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    logical_not,
    not_equal,
    where,
)
from symgraph.ops.normalize import logsumexp
from symgraph.ops.reduce import all_ as all
from symgraph.ops.reduce import any_ as any
from symgraph.ops.reduce import argmax, argmin, mean, prod, std, var
from symgraph.ops.reduce import max_ as max
from symgraph.ops.reduce import min_ as min
from symgraph.ops.reduce import sum_ as sum
from symgraph.ops.scan import scan
from symgraph.random import Generator, seed
from symgraph.symbol import Symbol, input
from symgraph.types import bool_, float32, float64, int32, int64

if TYPE_CHECKING:
    from symgraph.api import Function, function
    from symgraph.compare import Comparison, compare
    from symgraph.io import save
    from symgraph.library import load_library
    from symgraph.saved import load
    from symgraph.tracing import jit, trace
    from symgraph.viz import draw

__all__ = [
    "BackendUnavailable",
    "CheckpointError",
    "Comparison",
    "CompileError",
    "DTypeError",
    "ExportError",
    "Function",
    "Generator",
    "GradientError",
    "Graph",
    "GraphError",
    "InputError",
    "NumericsError",
    "Parameter",
    "ShapeError",
    "State",
    "StateError",
    "Symbol",
    "SymgraphError",
    "Tensor",
    "abs",
    "add",
    "all",
    "any",
    "argmax",
    "argmin",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bool_",
    "broadcast_to",
    "cast",
    "clip",
    "compare",
    "concat",
    "constant",
    "cos",
    "data",
    "divide",
    "draw",
    "einsum",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "full_like",
    "function",
    "grad",
    "greater",
    "greater_equal",
    "input",
    "int32",
    "int64",
    "isfinite",
    "isnan",
    "jit",
    "less",
    "less_equal",
    "load",
    "load_library",
    "log",
    "log1p",
    "logical_not",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "nn",
    "no_grad",
    "not_equal",
    "ones",
    "optim",
    "pad",
    "permute_dims",
    "pow",
    "prod",
    "rand",
    "randn",
    "remainder",
    "reshape",
    "rsqrt",
    "save",
    "scan",
    "scatter_add",
    "seed",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "state",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "take",
    "tanh",
    "tensor",
    "trace",
    "unstack",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"

# What needs the compiler or a picture is imported at first use: `import symgraph` stays quick.
_LATER = {
    "Function": "api",
    "function": "api",
    "Comparison": "compare",
    "compare": "compare",
    "save": "io",
    "load_library": "library",
    "load": "saved",
    "jit": "tracing",
    "trace": "tracing",
    "draw": "viz",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        hint = f"; there is sg.nn.{name}" if hasattr(nn, name) else ""
        raise AttributeError(f"module 'symgraph' has no attribute {name!r}{hint}")
    found = getattr(import_module(f"symgraph.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
