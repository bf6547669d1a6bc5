"""Samples of every op: one line an op buys it all tests of the op contract (tests/test_contract.py).

A line is a list of cases. A case is a function of values of either world, and its operands: shapes (with
"n" for a named dimension, called at several sizes), element types, and the domain values are drawn from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import symgraph as sg
from compiler.passes.materialize_results import copy
from symgraph import nn
from symgraph.op import Op
from symgraph.ops import window
from symgraph.ops.activation import gelu_erf, gelu_tanh
from symgraph.ops.convolution import convolution, convolution_weight
from symgraph.ops.gather import within
from symgraph.ops.layout import padded
from symgraph.ops.random import random_bernoulli, random_normal, random_uniform
from symgraph.ops.reduce import extent_of, iota
from symgraph.types import DType, bool_, float32, float64, int32, int64
from symgraph.value import apply

FLOATS = (float32, float64)
INTEGERS = (int32, int64)
NUMBERS = (*FLOATS, *INTEGERS)
EVERY = (*NUMBERS, bool_)
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Domain:
    """Floats evenly from [low, high), at least 0.05 away from every kink, where no derivative exists."""

    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
        if dtype == bool_:
            return rng.random(shape) < 0.5
        if dtype in INTEGERS:
            return rng.integers(int(self.low), int(self.high), shape).astype(dtype)
        values = rng.uniform(self.low, self.high, shape)
        for kink in self.kinks:
            values = np.where(np.abs(values - kink) < 0.05, kink + 0.1, values)
        return np.asarray(values, dtype)


ANY = Domain()
NONZERO = Domain(kinks=(0.0,))
POSITIVE = Domain(0.3, 3.0)
WHOLE = Domain(-9, 9)


@dataclass(frozen=True)
class Operand:
    shape: Shape
    dtype: DType
    domain: Domain = ANY

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.domain.draw(rng, tuple(n if e == "n" else int(e) for e in self.shape), self.dtype)


@dataclass(frozen=True)
class Case:
    """`smooth`: the gradient equals finite differences where the operands are drawn."""

    function: Callable[..., Any]
    operands: tuple[Operand, ...]
    smooth: bool = True

    @property
    def named(self) -> bool:
        return any("n" in operand.shape for operand in self.operands)


Line = list[Case]
ONE = [((),), (("n",),), ((2, 3),)]
TWO = [((), ()), (("n",), ("n",)), ((2, 3), (3,)), ((2, 1), (1, 17)), ((), (5,))]


def each(
    function: Callable[..., Any],
    shapes: Sequence[tuple[Shape, ...]],
    domain: Domain | Sequence[Domain] = ANY,
    dtypes: Sequence[DType] = FLOATS,
    smooth: bool = True,
    **attrs: Any,
) -> Line:
    """A case for each tuple of operand shapes and each dtype; integers are drawn from wider domains."""
    return list(_cases(partial(function, **attrs) if attrs else function, shapes, domain, dtypes, smooth))


def _cases(function, shapes, domain, dtypes, smooth) -> Iterator[Case]:
    for operand_shapes, dtype in itertools.product(shapes, dtypes):
        domains = [domain] * len(operand_shapes) if isinstance(domain, Domain) else domain
        if dtype not in FLOATS:
            domains = [WHOLE] * len(operand_shapes)
        operands = (Operand(s, dtype, d) for s, d in zip(operand_shapes, domains, strict=True))
        yield Case(function, tuple(operands), smooth)


def one(
    function: Callable[..., Any], domain: Domain = ANY, dtypes: Sequence[DType] = FLOATS, **options: Any
) -> Line:
    return _fewer_integers(function, ONE, 1, domain, dtypes, options)


def _fewer_integers(function, shapes, few, domain, dtypes, options) -> Line:
    """All shapes for floats, which have gradients; a few for the rest."""
    floats = [d for d in dtypes if d in FLOATS]
    rest = [d for d in dtypes if d not in FLOATS]
    some = shapes[1 : 1 + few]
    return each(function, shapes, domain, floats, **options) + each(function, some, domain, rest, **options)


def two(
    function: Callable[..., Any],
    domain: Domain | Sequence[Domain] = ANY,
    dtypes: Sequence[DType] = FLOATS,
    **options: Any,
) -> Line:
    return _fewer_integers(function, TWO, 2, domain, dtypes, options)


def over(
    function: Callable[..., Any], domain: Domain = ANY, dtypes: Sequence[DType] = FLOATS, **options: Any
) -> Line:
    """A reduction over one axis (see `along`), two, and all."""
    places = [((3, 2, 4), (0, 2)), (("n", 3), None)]
    lines = (
        each(partial(function, axis=axis), [(shape,)], domain, dtypes, **options) for shape, axis in places
    )
    return [*along(function, domain, dtypes, **options), *itertools.chain(*lines)]


def along(
    function: Callable[..., Any], domain: Domain = ANY, dtypes: Sequence[DType] = FLOATS, **options: Any
) -> Line:
    """A function of one axis: the last, the first, a middle and the only one."""
    places = [(("n", 33), 1), (("n", 17), 0), ((2, 3, 5), 1), ((7,), 0)]
    lines = (
        each(partial(function, axis=axis), [(shape,)], domain, dtypes, **options) for shape, axis in places
    )
    return list(itertools.chain(*lines))


def indexed(function: Callable[..., Any], shape: Shape, places: Shape, high: int, low: int = 0) -> Line:
    """function(floats of `shape`, ints of `places` in [low, high)), in every dtype of both."""
    pairs = itertools.product(FLOATS, INTEGERS)
    return [Case(function, (Operand(shape, f), Operand(places, i, Domain(low, high)))) for f, i in pairs]


def typed(
    function: Callable[..., Any], *operands: tuple[Shape, DType], domain: Domain = ANY, **options: Any
) -> Line:
    return [Case(function, tuple(Operand(s, d, domain) for s, d in operands), **options)]


def drawn(function: Callable[..., Any]) -> Line:
    """Random numbers of a key and a counter, added to x so that there is an operand of the shape."""
    keys = Domain(1, 2**40)
    return [
        Case(lambda x, k, c, t=dtype: x + function(k, c, shape=x.shape, dtype=t),
             (Operand(shape, dtype), Operand((), int64, keys), Operand((), int64, keys)))
        for shape in [("n",), (3, 5), ()] for dtype in FLOATS
    ]  # fmt: skip


def pooled(op: Op, **attrs: Any) -> Callable[..., Any]:
    """An op of one window as a function."""
    return lambda *operands: apply(op, operands, **attrs)


def placed(function: Callable[..., Any], shape: Shape, places: Shape, taps: int) -> Line:
    """function(floats of `shape`, numbers of taps)."""
    return [Case(function, (Operand(shape, f), Operand(places, int32, Domain(0, taps)))) for f in FLOATS]


def _gradient_through(x: Any) -> Any:
    return sg.stop_gradient(x) * x


def _recurrent(x: Any, h: Any, w: Any, u: Any) -> Any:
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        h = sg.tanh(x @ w + h @ u)
        return h, h * x[:, :1]

    last, ys = sg.scan(cell, h, x)
    return ys + last


def _two_ways(x: Any, y: Any) -> Any:
    """Structures, carries that change places, sequences in reverse, and a loop in a loop."""

    def outer(carry: dict[str, Any], row: tuple[Any, Any]) -> tuple[dict[str, Any], list[Any]]:
        def inner(total: Any, number: Any) -> tuple[Any, None]:
            return total * 0.5 + sg.sin(number) * carry["a"], None

        total, _ = sg.scan(inner, carry["b"], row[0])
        return {"a": carry["b"] * row[1], "b": total}, [total - carry["a"], sg.exp(row[0])]

    first = {"a": y[0], "b": sg.sum(y) * 0.25}
    last, (totals, powers) = sg.scan(outer, first, (x, y), reverse=True)
    return sg.expand_dims(totals * last["a"], 1) + powers * last["b"]


def _looked_up(x: Any, i: Any) -> Any:
    return sg.scan(lambda h, i: (h * 0.5 + sg.take(x, i), sg.sum(h * h)), x[0], i)[1]


def _powers(x: Any) -> Any:
    def step(carry: tuple[Any, Any], _: None) -> tuple[Any, Any]:
        power, count = carry
        return (sg.tanh(power * x), count + 1), power

    (last, count), ys = sg.scan(step, (x, 0), length=3)
    return ys + last * sg.cast(count, x.dtype)


BITS = (bool_, *INTEGERS)
CHOICE = [(("n",), ("n",), ("n",)), ((2, 3), (3,), ()), ((), (2, 17), (2, 1))]
MATRICES = [
    (("n", 5), (5, 4)),
    ((17, 33), (33, 9)),
    ((2, "n", 3), (3, 2)),
    ((4, "n"), ("n", 3)),
    ((3, 0), (0, 2)),
]
VECTORS = [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 1, 3, 4), (3, 4, 2))]
APART = Domain(-3.0, 3.0)

SAMPLES: dict[str, Line] = {
    "add": two(sg.add, dtypes=NUMBERS),
    "subtract": two(sg.subtract, dtypes=NUMBERS),
    "multiply": two(sg.multiply, dtypes=NUMBERS),
    "divide": two(sg.divide, (ANY, POSITIVE)),
    "floor_divide": two(sg.floor_divide, dtypes=INTEGERS),
    "remainder": two(sg.remainder, dtypes=INTEGERS),
    "negative": one(sg.negative, dtypes=NUMBERS),
    "pow": two(sg.pow, (POSITIVE, ANY)),
    "square": one(sg.square, dtypes=NUMBERS),
    "abs": one(sg.abs, NONZERO, NUMBERS),
    "sign": one(sg.sign, NONZERO, NUMBERS),
    "floor": one(sg.floor, Domain(-2, 2, (-2, -1, 0, 1, 2))),
    "exp": one(sg.exp),
    "expm1": one(sg.expm1),
    "log": one(sg.log, POSITIVE),
    "log1p": one(sg.log1p, Domain(-0.9, 3)),
    "sqrt": one(sg.sqrt, POSITIVE),
    "rsqrt": one(sg.rsqrt, POSITIVE),
    "sin": one(sg.sin, Domain(-9, 9)),
    "cos": one(sg.cos, Domain(-9, 9)),
    "tanh": one(sg.tanh),
    "erf": one(sg.erf),
    "maximum": two(sg.maximum, dtypes=NUMBERS),
    "minimum": two(sg.minimum, dtypes=NUMBERS),
    "clip": one(sg.clip, Domain(-2, 2, (-0.5, 1.25)), min=-0.5, max=1.25)
        + one(sg.clip, dtypes=INTEGERS, min=-3, max=4),
    "less": two(sg.less, dtypes=NUMBERS),
    "less_equal": two(sg.less_equal, dtypes=NUMBERS),
    "greater": two(sg.greater, dtypes=NUMBERS),
    "greater_equal": two(sg.greater_equal, dtypes=NUMBERS),
    "equal": two(sg.equal, dtypes=EVERY),
    "not_equal": two(sg.not_equal, dtypes=EVERY),
    "isnan": one(sg.isnan),
    "isfinite": one(sg.isfinite),
    "bitwise_and": two(sg.bitwise_and, dtypes=BITS),
    "bitwise_or": two(sg.bitwise_or, dtypes=BITS),
    "bitwise_xor": two(sg.bitwise_xor, dtypes=BITS),
    "logical_not": one(sg.logical_not, dtypes=(bool_,)),
    "where": [c for d in NUMBERS for shapes in CHOICE
        for c in typed(sg.where, *zip(shapes, (bool_, d, d), strict=True))],
    "cast": [c for d in EVERY
        for c in each(sg.cast, [(("n",),), ((),)], NONZERO, EVERY, smooth=False, dtype=d)],
    "stop_gradient": one(_gradient_through, smooth=False),
    "copy": one(copy, dtypes=EVERY),
    "within": one(lambda x: within(sg.abs(x), 10, "a sample"), dtypes=INTEGERS),
    "relu": one(nn.relu, NONZERO),
    "leaky_relu": one(nn.leaky_relu, NONZERO) + one(nn.leaky_relu, NONZERO, negative_slope=0.25),
    "sigmoid": one(sg.sigmoid, Domain(-6, 6)),
    "elu": one(nn.elu, NONZERO) + one(nn.elu, NONZERO, alpha=0.5),
    "selu": one(nn.selu, NONZERO),
    "softplus": one(nn.softplus, Domain(-6, 6)),
    "gelu_erf": one(gelu_erf),
    "gelu_tanh": one(gelu_tanh),
    "silu": one(nn.silu),
    "sum": over(sg.sum, dtypes=NUMBERS),
    "prod": over(sg.prod, Domain(0.5, 1.6), NUMBERS),
    "max": over(sg.max, APART, NUMBERS),
    "min": over(sg.min, APART, NUMBERS),
    "broadcast_to": each(lambda x, y: sg.broadcast_to(x, y.shape) * y,
        [((3,), ("n", 3)), ((2, 1), (4, 2, 3)), ((), ("n",))]),
    "reshape": each(lambda x: sg.reshape(sg.exp(x), (-1, 2)) * 3.0, [(("n", 4),), ((2, 3),), ((6,),)]),
    "permute_dims": each(lambda x: sg.permute_dims(sg.exp(x), (2, 0, 1)), [((2, "n", 4),), ((3, 2, 17),)]),
    "flip": each(lambda x: x + sg.flip(x, 0), [(("n", 3),), ((17,),)])
        + each(sg.flip, [((2, 3),)], dtypes=EVERY),
    "slice": each(lambda x: sg.exp(x)[1:, ::2], [((3, 17),), ((1, 4),)])
        + each(lambda x: x[:, 1:-1], [(("n", 7),)], dtypes=NUMBERS),
    "pad": each(lambda x: padded(sg.exp(x), ((1, 2, 1), (0, 3, 0)), 0.5), [((3, 4),), ((0, 2),), ((1, 1),)])
        + each(sg.pad, [(("n", 3),)], dtypes=EVERY, pad_width=((0, 1), (2, 0))),
    "concat": each(lambda x, y: sg.concat([x, sg.exp(y), x], axis=0),
            [(("n", 3), ("n", 3)), ((2, 17), (1, 17)), ((0, 2), (2, 2))])
        + each(lambda x, y: sg.concat([x, y], axis=-1), [((2, 1), (2, 4))], dtypes=EVERY),
    "extent": each(lambda x: x * extent_of(x.shape[0], x), [(("n", 2),)]),
    "iota": each(lambda x: sg.cast(iota(x.shape, 1, x), sg.float64) + sg.cast(x, sg.float64),
        [(("n", 3),), ((2, 17),)]),
    "take": indexed(lambda x, i: sg.take(x, i), (7, 3), ("n",), 7, -7)
        + indexed(lambda x, i: sg.take(x, i, axis=1), (2, 5), (2, 2), 5)
        + indexed(lambda x, i: sg.take(x, i, axis=1), ("n", 9, 2), (), 9),
    "scatter_add": indexed(lambda x, i: sg.scatter_add(x, i, (5, 3)), ("n", 3), ("n",), 5)
        + indexed(lambda x, i: sg.scatter_add(x, i, (2, 4, 3), axis=1), (2, 2, 5, 3), (2, 5), 4, -4)
        + indexed(lambda x, i: sg.scatter_add(x, i, (6,)), (17,), (17,), 6),
    "matmul": each(sg.matmul, MATRICES) + each(sg.matmul, VECTORS, dtypes=(float64,))
        + each(sg.matmul, MATRICES[:1], dtypes=INTEGERS),
    "convolution": each(convolution, [(("n", 6, 5, 3), (3, 2, 3, 4)), ((2, 7, 17), (3, 17, 5))])
        + each(convolution, [((2, 7, 6, 4), (2, 3, 2, 6))], stride=(2, 1), dilation=(1, 2), groups=2)
        + each(convolution, [(("n", 9, 3), (2, 1, 3))], stride=(3,), dilation=(2,), groups=3)
        + each(convolution, [((1, 3, 4, 3, 2), (2, 2, 2, 2, 3))], dtypes=(float64,)),
    "convolution_weight": each(convolution_weight, [(("n", 6, 5, 3), ("n", 4, 4, 4))], size=(3, 2))
        + each(convolution_weight, [((2, 7, 6, 4), (2, 3, 2, 6))],
            size=(2, 3), stride=(2, 1), dilation=(1, 2), groups=2),
    "window_max": each(pooled(window.MAX, size=(2, 3), stride=(2, 3)), [(("n", 5, 7, 3),)], APART)
        + each(pooled(window.MAX, size=(3,), stride=(1,)), [((2, 6, 17),)], APART)
        + each(lambda x: window.window_max(padded(x, ((0, 0, 0), (1, 2, 0), (0, 0, 0))), (3,), (1,)),
            [((2, "n", 3),)]),
    "window_argmax": each(pooled(window.ARGMAX, size=(2, 3), stride=(2, 3)), [(("n", 5, 7, 3),)])
        + each(pooled(window.ARGMAX, size=(3,), stride=(1,)), [((2, 6, 17),)]),
    "window_sum": each(pooled(window.SUM, size=(2, 3), stride=(2, 3)), [(("n", 5, 7, 3),)])
        + each(pooled(window.SUM, size=(3, 2), stride=(1, 3)), [((2, 6, 7, 17),)]),
    "window_spread": each(pooled(window.SPREAD, size=(2, 3), stride=(2, 3), extents=(5, 7)),
            [(("n", 2, 2, 3),)])
        + each(pooled(window.SPREAD, size=(3, 2), stride=(1, 3), extents=(6, 7)), [((2, 4, 2, 17),)]),
    "window_take": placed(pooled(window.TAKE, size=(2, 3), stride=(2, 3)), ("n", 5, 7, 3), ("n", 2, 2, 3), 6)
        + placed(pooled(window.TAKE, size=(3,), stride=(1,)), (2, 6, 17), (2, 4, 17), 3),
    "window_put": placed(pooled(window.PUT, size=(2, 3), stride=(2, 3), extents=(5, 7)),
            ("n", 2, 2, 3), ("n", 2, 2, 3), 6)
        + placed(pooled(window.PUT, size=(3, 2), stride=(1, 3), extents=(6, 7)),
            (2, 4, 2, 17), (2, 4, 2, 17), 6),
    "scan": each(_recurrent, [(("n", 2, 3), (2, 4), (3, 4), (4, 4)), ((3, 1, 17), (1, 5), (17, 5), (5, 5))])
        + each(_two_ways, [((4, 3), (4,)), ((3, "n"), (3,))]) + each(_powers, [((2, 3),), ((),)])
        + indexed(_looked_up, (7, 3), ("n",), 7, -7),
    "random_uniform": drawn(random_uniform),
    "softmax": along(nn.softmax) + each(nn.softmax, [((1,),), ((2, 3, 5),)], axis=-1),
    "log_softmax": along(nn.log_softmax) + each(nn.log_softmax, [((1,),), ((2, 3, 5),)], axis=-1),
    "logsumexp": over(sg.logsumexp),
    "standardize": each(nn.layer_norm, [(("n", 33),), ((2, 3, 4),)])
        + each(nn.batch_norm, [((9, 17),), ((2, 3, 4),)]),
    "cross_entropy":
        indexed(lambda x, i: nn.cross_entropy(x, i, reduction="none"), ("n", 10), ("n",), 10)
        + indexed(lambda x, i: nn.cross_entropy(x, i, axis=1), (2, 3, 4), (2, 4), 3),
}  # fmt: skip

AFFINE = [(("n", 17), (17,), (17,)), ((3, 4), (4,), (4,))]
CHANNELS = [((5, 4, 3), (4,), (4,)), ((2, 4, 3, 2), (4,), (4,))]
SAME = [(("n", 3), ("n", 3)), ((17,), (17,))]

# What is made of ops: public functions that have no op of their own.
FUNCTIONS: dict[str, Line] = {
    "mean": over(sg.mean),
    "var": over(sg.var) + each(sg.var, [(("n", 9),)], axis=1, correction=1),
    "std": over(sg.std),
    "argmax": along(sg.argmax, dtypes=NUMBERS) + each(sg.argmax, [((2, 3),)]),
    "argmin": along(sg.argmin, dtypes=NUMBERS),
    "all": each(lambda x: sg.all(x < 3, axis=1), [(("n", 3),), ((2, 17),)], dtypes=NUMBERS),
    "any": each(lambda x: sg.any(x > 1, axis=0), [((3, 2),), ((1, 17),)], dtypes=NUMBERS),
    "stack": each(lambda x, y: sg.stack([x, sg.exp(y)], axis=1), SAME),
    "unstack": each(lambda x: sg.unstack(x, 1)[2] * sg.unstack(x, 1)[0], [(("n", 3),), ((2, 3, 4),)]),
    "expand_dims": each(lambda x, y: sg.squeeze(sg.expand_dims(x, 1) * sg.expand_dims(y, 0), 0),
        [((1,), (3,))]),
    "power": one(lambda x: x**3 - x**2 + x**0) + one(lambda x: x**-2 + x**0.5, POSITIVE),
    "full_like": one(lambda x: sg.full_like(x, 2) * x + sg.zeros_like(x)),
    "einsum": each(partial(sg.einsum, "bij,bjk->bik"), [((2, 3, 4), (2, 4, 5)), (("n", 2, 3), ("n", 3, 2))])
        + each(partial(sg.einsum, "ij,j->"), [((2, 3), (3,))])
        + each(partial(sg.einsum, "ai,bj,ij->ab"), [((2, 3), (4, 5), (3, 5))])
        + each(partial(sg.einsum, "ij->ji"), [((2, 3),)]),
    "random_normal": drawn(random_normal),
    "random_bernoulli":
        drawn(lambda k, c, shape, dtype: sg.cast(random_bernoulli(k, c, 0.3, shape=shape), dtype)),
    "layer_norm": each(nn.layer_norm, AFFINE),
    "batch_norm": each(nn.batch_norm, [((9, 17), (17,), (17,)), *CHANNELS]),
    "group_norm": each(lambda x, w, b: nn.group_norm(x, 2, w, b), CHANNELS),
    "instance_norm": each(nn.instance_norm, CHANNELS),
    "rms_norm": each(nn.rms_norm, [(("n", 17), (17,)), ((3, 4), (4,))]),
    "conv1d": each(partial(nn.conv1d, stride=2, padding=1, groups=2), [(("n", 4, 9), (6, 2, 3), (6,))]),
    "conv2d": each(partial(nn.conv2d, padding=(1, 0), stride=(1, 2)), [(("n", 3, 5, 6), (4, 3, 3, 2), (4,))])
        + each(partial(nn.conv2d, padding="same", dilation=2, groups=3), [((2, 3, 6, 5), (6, 1, 3, 3))]),
    "conv_transpose1d": each(partial(nn.conv_transpose1d, stride=3, padding=1), [(("n", 2, 4), (2, 3, 4))]),
    "conv_transpose2d":
        each(partial(nn.conv_transpose2d, stride=2, padding=1, output_padding=(1, 0), groups=2),
            [(("n", 4, 3, 4), (4, 2, 3, 2), (4,))]),
    "max_pool1d": each(partial(nn.max_pool1d, size=3, stride=2, padding=1), [(("n", 3, 8),)], APART),
    "max_pool2d": each(partial(nn.max_pool2d, size=2), [(("n", 3, 5, 6),)], APART)
        + each(partial(nn.max_pool2d, size=5, stride=2, padding=2, ceil_mode=True), [((2, 3, 6, 7),)], APART),
    "avg_pool1d": each(partial(nn.avg_pool1d, size=3, stride=2, padding=1), [(("n", 3, 8),)]),
    "avg_pool2d": each(partial(nn.avg_pool2d, size=(2, 3)), [(("n", 3, 5, 6),)])
        + each(partial(nn.avg_pool2d, size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
            [((2, 3, 6, 8),)]),
    "adaptive_avg_pool1d": each(partial(nn.adaptive_avg_pool1d, size=3), [(("n", 2, 7),), ((2, 2, 6),)]),
    "adaptive_avg_pool2d": each(partial(nn.adaptive_avg_pool2d, size=(2, 3)), [(("n", 2, 5, 6),)]),
    "adaptive_max_pool1d": each(partial(nn.adaptive_max_pool1d, size=2), [(("n", 2, 6),)], APART),
    "adaptive_max_pool2d": each(partial(nn.adaptive_max_pool2d, size=(2, None)), [(("n", 2, 4, 3),)], APART),
    "global_avg_pool": each(nn.global_avg_pool, [(("n", 3, 4, 5),)]),
    "global_max_pool": each(nn.global_max_pool, [((2, 3, 4, 5),)], APART),
    "gelu": one(nn.gelu) + one(partial(nn.gelu, approximate="tanh")),
    "mse": each(nn.mse, SAME),
    "l1_loss": each(nn.l1_loss, SAME),
    "binary_cross_entropy": each(nn.binary_cross_entropy_with_logits, SAME, (ANY, Domain(0, 1))),
    "cross_entropy": indexed(nn.cross_entropy, ("n", 33), ("n",), 33),
    "mixed_dtypes": typed(sg.add, (("n",), float32), (("n",), float64))
        + typed(sg.multiply, ((3,), int32), ((3,), int64)),
}  # fmt: skip
