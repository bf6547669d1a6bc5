"""Convolutions and their weights' gradients, compiled: against sums over taps in float64, and interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

import symgraph as sg
from compiler.driver import Options, lower
from compiler.llvm.target import Target
from symgraph.dimension import names_of
from symgraph.graph import Graph
from symgraph.ops.convolution import convolution, convolution_weight
from symgraph.ops.layout import PAD, padded, permute_dims
from symgraph.symbol import Symbol, node_of
from symgraph.types import float32, float64
from tests.program_interpreter import interpret_program

RNG = np.random.default_rng(3)


@dataclass(frozen=True)
class Case:
    """x[*shape] with `pad` zeros around and `between` inside, against windows of `size`."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    out: int
    pad: int = 0
    between: int = 0
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    named: str = ""  # a letter an axis, a dot for a number

    @property
    def rank(self) -> int:
        return len(self.size)

    @property
    def widths(self):
        return ((0, 0, 0), *(((self.pad, self.pad, self.between),) * self.rank), (0, 0, 0))

    @property
    def settings(self) -> dict:
        each = {"stride": (self.stride,) * self.rank, "dilation": (self.dilation,) * self.rank}
        return {**each, "groups": self.groups}

    @property
    def weight(self) -> tuple[int, ...]:
        return (*self.size, self.shape[-1] // self.groups, self.out)

    def input(self, dtype) -> Symbol:
        named = self.named.ljust(len(self.shape), ".")
        extents = (e if name == "." else name for e, name in zip(self.shape, named, strict=True))
        return sg.input("x", tuple(extents), dtype=dtype)


def taps(case: Case, x: np.ndarray):
    """(tap, what its windows read) of the padded x, in float64, channels by group."""
    wide = PAD.evaluate(x.astype(np.float64), widths=case.widths, value=0)
    reach = [(k - 1) * case.dilation + 1 for k in case.size]
    counts = [(e - r) // case.stride + 1 for e, r in zip(wide.shape[1:-1], reach, strict=True)]
    for tap in product(*map(range, case.size)):
        ends = [t * case.dilation + (n - 1) * case.stride + 1 for t, n in zip(tap, counts, strict=True)]
        cuts = (slice(t * case.dilation, end, case.stride) for t, end in zip(tap, ends, strict=True))
        seen = wide[(slice(None), *cuts)]
        yield tap, seen.reshape(*seen.shape[:-1], case.groups, case.shape[-1] // case.groups)


def forward(case: Case, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    by_group = w.astype(np.float64).reshape(*case.weight[:-1], case.groups, -1)
    total = sum(np.einsum("...gc,cgo->...go", seen, by_group[tap]) for tap, seen in taps(case, x))
    return total.reshape(*total.shape[:-2], case.out)


def weights(case: Case, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    by_group = g.astype(np.float64).reshape(*g.shape[:-1], case.groups, case.out // case.groups)
    found = np.zeros(case.weight)
    for tap, seen in taps(case, x):
        axes = tuple(range(case.rank + 1))
        sums = np.stack(
            [np.tensordot(seen[..., q, :], by_group[..., q, :], (axes, axes)) for q in range(case.groups)], 1
        )
        found[tap] = sums.reshape(found[tap].shape)
    return found


def random(shape, dtype=float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def agrees(got: np.ndarray, wanted: np.ndarray, terms: int) -> None:
    unit = np.finfo(got.dtype).eps * (8 + np.sqrt(terms))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=unit, atol=unit * np.sqrt(terms) * 4)


CASES = [
    Case((2, 7, 7, 3), (3, 3), 5),
    Case((3, 9, 28, 16), (3, 3), 32, pad=1),
    Case((2, 13, 17, 5), (3, 5), 37, pad=2, stride=2),
    Case((2, 13, 17, 5), (3, 5), 37, pad=2, dilation=2),
    Case((1, 12, 11, 4), (2, 3), 20, pad=1, stride=3, dilation=2),
    Case((2, 13, 17, 8), (3, 3), 6, pad=1, groups=2),
    Case((2, 9, 11, 8), (3, 3), 8, pad=1, groups=8),
    Case((2, 9, 11, 8), (3, 3), 24, pad=1, groups=8, stride=2),
    Case((2, 6, 5, 70), (3, 3), 70, pad=1, groups=70),
    Case((2, 9, 9, 8), (3, 3), 16, pad=2, between=1),
    Case((2, 8, 9, 8), (4, 3), 16, pad=3, between=2, dilation=2),
    Case((2, 8, 9, 8), (4, 3), 16, pad=3, between=1, dilation=2),
    Case((2, 8, 9, 6), (2, 3), 7, pad=1, between=2, dilation=3),
    Case((2, 8, 9, 6), (3, 3), 7, pad=3, between=1, stride=2),
    Case((2, 8, 9, 6), (3, 3), 6, pad=2, between=1, groups=6),
    Case((2, 50, 8), (4,), 16, pad=3),
    Case((2, 50, 8), (4,), 8, pad=3, groups=8),
    Case((2, 5, 6, 7, 4), (3, 3, 3), 10, pad=1),
    Case((1, 3, 3, 500), (3, 3), 40, pad=1),
    Case((2, 9, 8, 331), (3, 2), 20, pad=1, dilation=2),
    Case((1, 400, 1), (300,), 7, pad=1),
    Case((1, 200, 3), (3,), 40, pad=70, dilation=60),
    Case((3, 14, 14, 32), (1, 1), 300),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_forward(case, dtype):
    x, w = case.input(dtype), sg.input("w", case.weight, dtype=dtype)
    run = sg.function([x, w], convolution(padded(x, case.widths), w, **case.settings))
    a, b = random(case.shape, dtype), random(case.weight, dtype)
    agrees(run(a, b), forward(case, a, b), int(np.prod(case.weight[:-1])))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_weight_gradient(case, dtype):
    run, shape = weight_function(case, dtype)
    x, g = random(case.shape, dtype), random(shape, dtype)
    agrees(run(x, g), weights(case, x, g), int(np.prod(shape[:-1])))


def weight_function(case: Case, dtype=float32, **options):
    """The compiled gradient, and the shape of its second argument at the case's own sizes."""
    x = case.input(dtype)
    w = sg.input("w", case.weight, dtype=dtype)
    outputs = convolution(padded(x, case.widths), w, **case.settings)
    g = sg.input("g", outputs.shape, dtype=dtype)
    made = convolution_weight(padded(x, case.widths), g, size=case.size, **case.settings)
    sizes = {n: e for n, e in zip(case.named, case.shape, strict=False) if n != "."}
    shape = tuple(e if isinstance(e, int) else e.evaluate(sizes) for e in outputs.shape)
    return sg.function([x, g], made, **options), shape


NAMED = [Case((2, 7, 9, 6), (3, 3), 7, pad=1, named="nhw"), Case((2, 9, 6), (3,), 33, pad=2, named="nl")]


@pytest.mark.parametrize("case", NAMED, ids=str)
def test_named_sizes(case):
    x, w = case.input(float32), sg.input("w", case.weight)
    run = sg.function([x, w], convolution(padded(x, case.widths), w, **case.settings))
    gradient, _ = weight_function(case)
    for images, *spatial in ((0, 5, 4), (1, 1, 1), (3, 40, 7), (2, 33, 70), (5, 3, 130)):
        shape = (images, *spatial[: case.rank], case.shape[-1])
        a, b = random(shape), random(case.weight)
        wanted = forward(case, a, b)
        agrees(run(a, b), wanted, int(np.prod(case.weight[:-1])))
        g = random(wanted.shape)
        agrees(gradient(a, g), weights(case, a, g), max(1, g.size // case.out))


def test_operands_behind_views():
    """Channels first and flipped weights, as a network's gradients are, and a computed gradient."""
    case = Case((3, 8, 9, 5), (3, 2), 12)
    x, w = sg.input("x", ("n", 5, 8, 9)), sg.input("w", (12, 5, 3, 2))
    last, turned = permute_dims(x, (0, 2, 3, 1)), sg.flip(permute_dims(w, (2, 3, 1, 0)), axis=(0, 1))
    run = sg.function([x, w], convolution(last, turned))
    a, b = random((3, 5, 8, 9)), random((12, 5, 3, 2))
    moved, weight = a.transpose(0, 2, 3, 1), b.transpose(2, 3, 1, 0)[::-1, ::-1]
    agrees(run(a, b), forward(case, moved, weight), 30)
    g = sg.input("g", ("n", 12, 6, 8))
    gradient = sg.function([x, g], convolution_weight(last, permute_dims(g, (0, 2, 3, 1)), size=(3, 2)))
    c = random((3, 12, 6, 8))
    agrees(gradient(a, c), weights(case, moved, c.transpose(0, 2, 3, 1)), 144)


def test_epilogue_runs_on_the_tile():
    case = Case((2, 10, 11, 6), (3, 3), 20, pad=1)
    x, w, bias = case.input(float32), sg.input("w", case.weight), sg.input("b", (20,))
    rest = sg.input("r", (2, 10, 11, 20))
    y = sg.maximum(convolution(padded(x, case.widths), w) + bias + rest, 0.0)
    run = sg.function([x, w, bias, rest], y)
    assert run.report().kernels == 1
    arrays = random(case.shape), random(case.weight), random(20), random((2, 10, 11, 20))
    wanted = np.maximum(forward(case, *arrays[:2]) + arrays[2] + arrays[3], 0)
    agrees(run(*arrays), wanted, 54)


SMALL = [
    Case((1, 4, 5, 2), (2, 3), 3, pad=1, named="nhw"),
    Case((2, 5, 3), (2,), 2, pad=1, stride=2, dilation=2),
    Case((1, 3, 2, 2), (3, 2), 2, pad=2, between=1),
    Case((1, 4, 4), (2,), 8, pad=1, groups=4),
    Case((1, 4, 4), (2,), 4, pad=1, groups=2),
]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_interpreted(case):
    x, w = case.input(float32), sg.input("w", case.weight)
    y = convolution(padded(x, case.widths), w, **case.settings)
    g = sg.input("g", y.shape)
    made = convolution_weight(padded(x, case.widths), g, size=case.size, **case.settings)
    inputs, outputs = tuple(node_of(i) for i in (x, w, g)), (node_of(y), node_of(made))
    lowered = lower(Graph(inputs=inputs, outputs=outputs), "f", ["y", "w"], Options(), Target.host())
    assert set(lowered.program.dims) == set(names_of(x.shape))
    a, b = random(case.shape), random(case.weight)
    wanted = forward(case, a, b)
    c = random(wanted.shape)
    found = interpret_program(lowered.program, [a, b, c], [])
    agrees(found[0], wanted, int(np.prod(case.weight[:-1])))
    agrees(found[1], weights(case, a, c), c.size // case.out)


@pytest.mark.parametrize("channels,size", [(16, 20), (331, 6)])
def test_weight_gradient_does_not_depend_on_threads(channels, size):
    case = Case((9, size, size, channels), (3, 3), 32, pad=1, named="n")
    (one, shape), (two, _) = (weight_function(case, threads=n) for n in (1, 2))
    x, g = random(case.shape), random(shape)
    np.testing.assert_array_equal(one(x, g), two(x, g))


def test_zeros_between_are_not_multiplied():
    """An infinite weight gives an infinity where it meets an element, and nothing where none stands."""
    x, w = sg.input("x", (1, 3, 1)), sg.input("w", (2, 1, 1))
    run = sg.function([x, w], convolution(padded(x, ((0, 0, 0), (1, 1, 1), (0, 0, 0))), w))
    found = run(np.ones((1, 3, 1), "f"), np.array([np.inf, 2], "f").reshape(2, 1, 1)).ravel()
    np.testing.assert_array_equal(found, [2, np.inf, 2, np.inf, 2, np.inf])
