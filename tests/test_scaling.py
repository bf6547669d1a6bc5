"""Large graphs in both worlds: time and memory grow with the number of ops, and no stack overflows.

Times are of this process's CPU, so a busy machine does not fail them, and bounds are generous.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import symgraph as sg
from compiler.driver import Options, lower
from compiler.llvm.target import Target
from symgraph import nn
from symgraph.graph import Graph
from symgraph.symbol import node_of

MOST_GROWTH = 3.0  # of time and memory, for twice the ops


def chain(x, count: int):
    for i in range(count):
        x = x * 1.0625 if i % 2 else x - 0.5
    return x


def wide_sum(x, count: int):
    """Many values of one, added up one after another."""
    total = x
    for i in range(count // 2):
        total = total + x * float(i % 4)
    return total


def wide_concat(x, count: int):
    return sg.sum(sg.concat([x - float(i % 4) for i in range(count)], axis=1), axis=1)


def layers(x, count: int):
    """A product and an activation each, trained by gradient descent."""
    weights = [sg.state(f"w{i}", np.eye(8, dtype=np.float32)) for i in range(count // 8)]
    for w in weights:
        x = nn.relu(x @ w)
    gradients = sg.grad(sg.sum(x), weights)
    return x, {w: w - g for w, g in zip(weights, gradients, strict=True)}


SHAPES = {"chain": chain, "wide sum": wide_sum, "wide concat": wide_concat, "layers": layers}


def seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    action()
    return time.process_time() - start


def build(shape: str, count: int) -> Graph:
    x = sg.input("x", ("batch", 8))
    made = SHAPES[shape](x, count)
    y, updates = made if isinstance(made, tuple) else (made, {})
    pairs = tuple((node_of(state), node_of(value)) for state, value in updates.items())
    return Graph(inputs=(x.node,), outputs=(node_of(y),), updates=pairs)


def compile_plainly(graph: Graph):
    return lower(graph, "f", ["y"], Options(training=True), Target.host())


@pytest.mark.parametrize("shape", SHAPES)
def test_static_graphs_grow_linearly(shape):
    building, compiling = [], []
    for count in (2_500, 5_000):
        graphs: list[Graph] = []
        building.append(seconds(lambda c=count, g=graphs: g.append(build(shape, c))))
        compiling.append(seconds(lambda g=graphs: compile_plainly(g[0])))
    assert building[1] < 5 and compiling[1] < 60
    assert building[1] < MOST_GROWTH * building[0] + 0.1
    assert compiling[1] < MOST_GROWTH * compiling[0] + 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_of_a_compilation_grows_linearly(shape):
    peaks = []
    for count in (400, 800):
        gc.collect()
        tracemalloc.start()
        kept = compile_plainly(build(shape, count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        del kept
    assert peaks[1] < MOST_GROWTH * peaks[0]


def test_a_long_static_chain_is_compiled_and_right():
    x = sg.input("x", ("batch", 8))
    f = sg.function([x], chain(x, 10_000), threads=1)
    values = np.linspace(-1, 1, 24).reshape(3, 8).astype(np.float32)
    # In float32: 5,000 steps towards infinity.
    wanted = values.copy()
    with np.errstate(over="ignore"):
        for i in range(10_000):
            wanted = wanted * np.float32(1.0625) if i % 2 else wanted - np.float32(0.5)
    np.testing.assert_array_equal(f(values), wanted)


def test_a_hundred_thousand_static_ops():
    x = sg.input("x", ("batch", 8))
    y = x
    for _ in range(100_000):
        y = nn.relu(y)
    graph = Graph(inputs=(x.node,), outputs=(node_of(y),))
    took = seconds(lambda: compile_plainly(graph))
    assert len(graph.nodes) == 100_001 and took < 60


def test_a_hundred_thousand_eager_ops():
    x = sg.tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y - 0.5
    sg.sum(y).backward()
    np.testing.assert_array_equal(x.grad, np.ones(2))


def test_eager_graphs_grow_linearly():
    def run(count: int) -> None:
        x = sg.tensor(np.ones(4), requires_grad=True)
        sg.sum(wide_sum(x, count)).backward()
        np.testing.assert_allclose(x.grad, 1 + sum(i % 4 for i in range(count // 2)))
        sg.sum(sg.concat([x * 2.0 for _ in range(count)])).backward()

    run(100)
    small, large = (min(seconds(lambda c=count: run(c)) for _ in range(2)) for count in (2_500, 5_000))
    assert large < MOST_GROWTH * small


def test_diamonds_are_walked_once():
    """A hundred doublings have 2^100 paths."""

    def doubled(x):
        for _ in range(100):
            x = x + x
        return x

    x = sg.tensor(np.ones(1), requires_grad=True)
    doubled(x).backward(np.ones(1))
    assert x.grad == 2.0**100
    symbol = sg.input("x", (1,), dtype=sg.float64)
    f = sg.function([symbol], sg.grad(sg.sum(doubled(symbol)), symbol))
    assert f(np.ones(1)) == 2.0**100
