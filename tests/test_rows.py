"""Kernels that go row by row: what threads share, against numpy in float64 and the slow interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from program_interpreter import interpret_program

import symgraph as sg
from compiler.loop.grammar import For

LONG = 70001


def kernels(function: sg.Function):
    return function._compiled.lowered.program.kernels


def is_shared(kernel) -> bool:
    return isinstance(kernel.body[0], For) and kernel.body[0].mode == "parallel"


def long_sums(x, y):
    centered = y - sg.sum(x[:2])
    return [sg.mean(x * x), sg.max(x), sg.exp(x), sg.sum(centered * centered) / 3.0, sg.prod(y * 0.0 + 1.0)]


@pytest.mark.parametrize("shape", [(7, LONG // 7), (LONG // 7, 7)])
def test_one_long_sum_is_cut_into_parts_for_threads(shape):
    x, y = sg.input("x", (LONG,)), sg.input("y", shape)
    functions = [sg.function([x, y], long_sums(x, y), threads=threads) for threads in (1, 2)]
    assert sum(is_shared(kernel) for kernel in kernels(functions[0])) == 2
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(LONG, np.float32), rng.standard_normal(shape, np.float32)
    one, two = (f(a, b) for f in functions)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    wanted = [
        np.mean(wide_a**2), wide_a.max(), np.exp(wide_a), np.sum((wide_b - wide_a[:2].sum()) ** 2) / 3.0, 1.0
    ]
    for got, same, oracle in zip(one, two, wanted, strict=True):
        np.testing.assert_array_equal(got, same)
        np.testing.assert_allclose(got, oracle, rtol=1e-6)


def test_a_long_sum_is_what_the_interpreter_makes_of_it():
    x = sg.input("x", (LONG,), dtype=sg.float64)
    f = sg.function([x], [sg.sum(x) * 2.0, sg.max(x - 1.0)])
    a = np.random.default_rng(1).standard_normal(LONG)
    lowered = f._compiled.lowered
    slow = interpret_program(lowered.program, [a], [])
    for got, wanted in zip(f(a), slow, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_short_and_symbolic_sums_stay_one_kernel():
    x, y = sg.input("x", (1000,)), sg.input("y", ("n",))
    f = sg.function([x, y], [sg.sum(x), sg.sum(y)])
    assert not any(is_shared(kernel) for kernel in kernels(f))
