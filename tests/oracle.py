"""An independent interpreter of graphs: every op from its textbook formula, in float64, with numpy.

Nothing here comes from symgraph's own evaluation, so that a wrong `evaluate`, a wrong scalar formula or a
wrong composite cannot agree with itself. With `noise`, every computed float is off by a random relative
error of that size: the spread over some noisy runs says how far rounding alone may move a result
(Parker 1997, "Monte Carlo arithmetic").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from symgraph.dimension import Dim, evaluate
from symgraph.graph import Graph, Node
from tests import oracle_window

Meaning = Callable[..., np.ndarray]
Disturb = Callable[[np.ndarray], np.ndarray]
MEANING: dict[str, Meaning] = {**oracle_window.MEANING}
MASK = (1 << 64) - 1


def run(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    *,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """All results (outputs, then updates) for the inputs' arrays; states are read, not changed."""
    sizes = named_sizes(graph, arrays)
    values: dict[Node, np.ndarray] = {
        node: widened(array) for node, array in zip(graph.inputs, arrays, strict=True)
    }
    disturb = partial(_disturbed, noise=noise, rng=rng) if noise else None
    _fill(graph, values, sizes, disturb)
    return [values[node] for node in graph.results]


def _fill(
    graph: Graph, values: dict[Node, np.ndarray], sizes: Mapping[str, int], disturb: Disturb | None
) -> None:
    """Values of all nodes, from those of the inputs."""
    for node in graph.nodes:
        if node in values:
            continue
        if node.op.name == "scan":
            values[node] = _scan(node, values, sizes, disturb)
            continue
        value = _value(node, values, sizes)
        values[node] = disturb(value) if disturb and node.inputs else value


def _scan(
    node: Node, values: Mapping[Node, np.ndarray], sizes: Mapping[str, int], disturb: Disturb | None
) -> np.ndarray:
    """One result of a loop, from its definition: carry, y = body(carry, x), step after step."""
    attrs, given = node.attrs, [values[i] for i in node.inputs]
    body, carries, first = attrs["body"], attrs["carries"], attrs["carries"] + attrs["sequences"]
    kind, number = attrs["result"]
    carry, kept = given[:carries], []
    steps = _sized(attrs["length"], sizes)
    assert isinstance(steps, int)
    for step in range(steps):
        at = steps - 1 - step if attrs["reverse"] else step
        rows = [x[at] for x in given[carries:first]]
        inner = dict(zip(body.inputs, [*carry, *rows, *given[first:]], strict=True))
        kept.append(carry[number] if kind == "history" else None)
        _fill(body, inner, sizes, disturb)
        carry = [inner[n] for n in body.outputs[:carries]]
        if kind == "stack":
            kept[-1] = inner[body.outputs[carries + number]]
    if kind == "last":
        return carry[number]
    if kind == "history":
        kept.append(carry[number])
    shape = [evaluate(e, sizes) for e in node.type.shape]
    dtype = np.float64 if node.type.dtype.kind == "f" else node.type.dtype
    return np.array(kept[::-1] if attrs["reverse"] else kept, dtype).reshape(shape)


def widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def named_sizes(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """What the named dimensions of the inputs are in these arrays."""
    sizes: dict[str, int] = {}
    for node, array in zip(graph.inputs, arrays, strict=True):
        for extent, size in zip(node.type.shape, array.shape, strict=True):
            if isinstance(extent, Dim) and len(extent.names) == 1 and extent == Dim.named(extent.names[0]):
                sizes[extent.names[0]] = size
    return sizes


def _disturbed(value: np.ndarray, noise: float, rng: np.random.Generator | None) -> np.ndarray:
    if value.dtype.kind != "f" or rng is None:
        return value
    return value * (1.0 + noise * rng.uniform(-1.0, 1.0, value.shape))


def _value(node: Node, values: Mapping[Node, np.ndarray], sizes: Mapping[str, int]) -> np.ndarray:
    name = node.op.name
    if name == "constant":
        return widened(node.attrs["value"])
    if name == "state":
        return widened(node.attrs["state"].data)
    attrs = {key: _sized(value, sizes) for key, value in node.attrs.items()}
    with np.errstate(all="ignore"):
        result = np.asarray(MEANING[name](*(values[i] for i in node.inputs), **attrs))
    dtype = node.type.dtype
    return result.astype(np.float64 if dtype.kind == "f" else dtype, copy=False)


def _sized(value: object, sizes: Mapping[str, int]) -> object:
    if isinstance(value, Dim):
        return evaluate(value, sizes)
    return tuple(_sized(v, sizes) for v in value) if isinstance(value, tuple) else value


def meaning(name: str) -> Callable[[Meaning], Meaning]:
    def register(function: Meaning) -> Meaning:
        MEANING[name] = function
        return function

    return register


def _scalar(function: Callable[[float], float]) -> Meaning:
    return np.vectorize(function, otypes=[np.float64])


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _sign(x: np.ndarray) -> np.ndarray:
    return np.sign(x).astype(x.dtype)


def _integer(function: Meaning) -> Meaning:
    """Integer division, with 0 where the divisor is 0."""
    return lambda x, y: np.where(y == 0, 0, function(x, np.where(y == 0, 1, y))).astype(x.dtype)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

MEANING.update({
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "floor_divide": _integer(np.floor_divide),
    "remainder": _integer(np.remainder),
    "negative": lambda x: -x,
    "pow": lambda x, y: np.float_power(x, y),
    "square": lambda x: x * x,
    "abs": np.absolute,
    "sign": _sign,
    "floor": np.floor,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": _scalar(math.erf),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "clip": lambda x, *, min, max: np.clip(x, min, max),
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "bitwise_and": lambda x, y: x & y,
    "bitwise_or": lambda x, y: x | y,
    "bitwise_xor": lambda x, y: x ^ y,
    "logical_not": np.logical_not,
    "where": np.where,
    "stop_gradient": lambda x: x,
    "copy": lambda x: x,
    "within": lambda x, *, extent, what: x,
    "relu": lambda x: np.where(np.isnan(x), x, np.fmax(x, 0.0)),
    "leaky_relu": lambda x, *, negative_slope=0.01: np.where(x >= 0, x, x * negative_slope),
    "sigmoid": _logistic,
    "elu": lambda x, *, alpha=1.0: np.where(x >= 0, x, alpha * np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x >= 0, x, SELU_ALPHA * np.expm1(x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "gelu_erf": lambda x: x * 0.5 * (1.0 + MEANING["erf"](x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * _logistic(x),
    "broadcast_to": lambda x, *, shape: np.broadcast_to(x, shape),
    "reshape": lambda x, *, shape: x.reshape(shape),
    "permute_dims": lambda x, *, axes: x.transpose(axes),
    "flip": lambda x, *, axes: np.flip(x, axes),
    "slice": lambda x, *, bounds: x[tuple(slice(*b) for b in bounds)],
    "concat": lambda *xs, axis: np.concatenate(xs, axis),
    "iota": lambda *, shape, axis: np.indices(shape)[axis],
    "extent": lambda *, extent, dtype: np.asarray(extent, dtype),
    "sum": lambda x, *, axes: x.sum(axes),
    "prod": lambda x, *, axes: x.prod(axes),
    "max": lambda x, *, axes: x.max(axes),
    "min": lambda x, *, axes: x.min(axes),
    "take": lambda x, indices, *, axis: np.take(x, indices, axis),
    "matmul": lambda x, y: np.einsum("...ik,...kj->...ij", x, y),
})  # fmt: skip


@meaning("cast")
def cast(x: np.ndarray, *, dtype: np.dtype) -> np.ndarray:
    """Float to int truncates and saturates, NaN becomes 0; float to float keeps the oracle's precision."""
    if dtype.kind == "f":
        return x.astype(np.float64)
    if dtype.kind == "i" and x.dtype.kind == "f":
        info = np.iinfo(dtype)
        numbers = [0 if math.isnan(v) else _clamped(v, info.min, info.max) for v in x.ravel().tolist()]
        return np.array(numbers, dtype).reshape(x.shape)
    return x.astype(dtype)


def _clamped(value: float, low: int, high: int) -> int:
    if math.isinf(value):
        return high if value > 0 else low
    return min(max(int(value), low), high)


@meaning("pad")
def pad(x: np.ndarray, *, widths: tuple[tuple[int, int, int], ...], value: float) -> np.ndarray:
    """One axis at a time: element i goes to before + i * (between + 1)."""
    for axis, (before, after, between) in enumerate(widths):
        count = x.shape[axis]
        inner = count + max(count - 1, 0) * between
        shape = (*x.shape[:axis], before + inner + after, *x.shape[axis + 1 :])
        wider = np.full(shape, value, x.dtype)
        for i in range(count):
            at = (slice(None),) * axis
            wider[(*at, before + i * (between + 1))] = x[(*at, i)]
        x = wider
    return x


@meaning("scatter_add")
def scatter_add(x: np.ndarray, indices: np.ndarray, *, shape: tuple[int, ...], axis: int) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    lead = (slice(None),) * axis
    for place in np.ndindex(indices.shape):
        out[(*lead, int(indices[place]))] += x[(*lead, *place)]
    return out


@meaning("random_uniform")
def random_uniform(
    key: np.ndarray,
    counter: np.ndarray,
    *,
    shape: Sequence[int],
    dtype: np.dtype,
    order: Sequence[int] | None = None,
) -> np.ndarray:
    """Widynski 2020, in Python's integers: the 32-bit generator for float32, the 64-bit one for float64."""
    start, odd = int(counter), int(key) & MASK
    numbers = [_squares((start << 32) + i, odd, wide=dtype == np.float64) for i in range(math.prod(shape))]
    return np.array(numbers, np.float64).reshape(shape).transpose(order or range(len(shape)))


def _squares(counter: int, key: int, wide: bool) -> float:
    def swapped(v: int) -> int:
        return (v >> 32) | (v << 32) & MASK

    y = counter * key & MASK
    z = y + key & MASK
    x = swapped(y * y + y & MASK)
    x = swapped(x * x + z & MASK)
    x = swapped(x * x + y & MASK)
    last = x * x + z & MASK
    if not wide:
        return (last >> 40) / 2**24
    folded = swapped(last)
    full = last ^ (folded * folded + y & MASK) >> 32
    return (full >> 11) / 2**53


def _spread(statistic: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.expand_dims(statistic, axes)


@meaning("logsumexp")
def logsumexp_over(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    for axis in sorted(axes, reverse=True):
        x = np.logaddexp.reduce(x, axis)
    return x


@meaning("softmax")
def softmax_along(x: np.ndarray, *, axis: int) -> np.ndarray:
    return np.exp(x - _spread(logsumexp_over(x, axes=(axis,)), (axis,)))


@meaning("log_softmax")
def log_softmax_along(x: np.ndarray, *, axis: int) -> np.ndarray:
    return x - _spread(logsumexp_over(x, axes=(axis,)), (axis,))


@meaning("standardize")
def standardize_over(x: np.ndarray, *, axes: tuple[int, ...], eps: float) -> np.ndarray:
    count = math.prod(x.shape[a] for a in axes)
    centered = x - x.sum(axes, keepdims=True) / np.float64(count)
    variance = np.square(centered).sum(axes, keepdims=True) / np.float64(count)
    return centered / np.sqrt(variance + eps)


@meaning("cross_entropy")
def cross_entropy_each(logits: np.ndarray, labels: np.ndarray, *, axis: int) -> np.ndarray:
    chosen = np.take_along_axis(logits, np.expand_dims(labels, axis), axis)
    return logsumexp_over(logits, axes=(axis,)) - np.squeeze(chosen, axis)
