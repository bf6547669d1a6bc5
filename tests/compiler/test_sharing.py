"""Code that is made once for all that need it: clusters that are alike, kernels that differ in sizes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from compiler.driver import Options, lower, weight_array
from compiler.llvm.target import Target
from compiler.loop.grammar import Binary, Buffer, Const, Expr, For, Index, Kernel, Let, Load, Local, Store
from compiler.loop.interpreter import interpret
from compiler.lower.sizes import share_sizes
from compiler.recipe import Lowered
from symgraph import nn, optim, reference
from symgraph.graph import Graph
from symgraph.ops.convolution import convolution
from symgraph.symbol import node_of
from symgraph.types import float32, int64
from tests.program_interpreter import interpret_program

INDEX = Index("i")
RNG = np.random.default_rng(4)


def lowered(outputs, inputs, updates=()) -> Lowered:
    pairs = tuple((node_of(state), node_of(value)) for state, value in dict(updates).items())
    graph = Graph(
        inputs=tuple(i.node for i in inputs), outputs=tuple(node_of(o) for o in outputs), updates=pairs
    )
    labels = [str(i) for i in range(len(outputs))]
    return lower(graph, "f", labels, Options(training=True), Target.host())


def deep(count: int) -> Lowered:
    x = sg.input("x", ("batch", 16))
    layers = [(nn.Linear(16, 16, bias=False), nn.BatchNorm(16), nn.ReLU()) for _ in range(count)]
    model = nn.Sequential(*(layer for three in layers for layer in three))
    loss = sg.sum(model(x))
    return lowered([loss], [x], optim.SGD(1e-2).minimize(loss, model.parameters()))


def test_deeper_networks_have_more_launches_but_no_more_kernels():
    four, eight = deep(4), deep(8)
    assert len(eight.steps) > len(four.steps) + 8
    assert len(eight.program.kernels) == len(four.program.kernels)


def test_layers_that_are_alike_compute_on_their_own_memory():
    rng = np.random.default_rng(0)
    x = sg.input("x", ("batch", 8))
    weights = [rng.standard_normal((8, 8)) / 3 for _ in range(5)]
    y, wanted, values = x, None, rng.standard_normal((3, 8))
    wanted = values
    for w in weights:
        y = sg.tanh(y @ sg.state("w", w.astype(np.float32))) + y
        wanted = np.tanh(wanted @ w) + wanted
    f = sg.function([x], y)
    np.testing.assert_allclose(f(values.astype(np.float32)), wanted, rtol=1e-4, atol=1e-5)


def test_parameters_of_any_size_share_the_kernel_of_their_update():
    rng = np.random.default_rng(1)
    shapes = [(3,), (40,), (5, 7), (64, 33), (100,)]
    states = [sg.state(f"s{i}", rng.standard_normal(s).astype(np.float32)) for i, s in enumerate(shapes)]
    x = sg.input("x", ())
    new = {s: s * 0.5 + sg.sqrt(sg.abs(s)) * x for s in states}
    made = lowered([x + 1.0], [x], new)
    updates = [step for step in made.steps if step.sizes]
    assert len(updates) == len(shapes) and len({step.kernel for step in updates}) == 1
    before = [s.numpy() for s in states]
    sg.function([x], x + 1.0, updates=new)(np.float32(0.25))
    for state, old in zip(states, before, strict=True):
        np.testing.assert_allclose(state.numpy(), old * 0.5 + np.sqrt(np.abs(old)) * 0.25, rtol=1e-6)


def test_other_numbers_are_not_sizes():
    states = [sg.state(f"s{i}", np.ones(4 + i, np.float32)) for i in range(3)]
    x = sg.input("x", ())
    made = lowered([x + 1.0], [x], {s: s * x * (2.0 + i) for i, s in enumerate(states)})
    assert len(made.program.kernels) == 4


def flat(size: int, start: Expr, at: Expr, name: str = "k", mode="serial") -> Kernel:
    """out[at] = x[at] for i from start to size."""
    x, out = Buffer("x", float32, (size,)), Buffer("out", float32, (size,))
    body = For("i", start, Const(size, int64), (Store(out, (at,), Load(x, (at,))),), mode=mode)
    return Kernel(name, (x, out), (), (body,))


def run(kernel: Kernel, size: int, sizes: tuple[int, ...]) -> np.ndarray:
    x, out = np.arange(size, dtype=np.float32), np.full(size, -1, np.float32)
    interpret(kernel, [x, out], list(sizes))
    return out


def number(value: int) -> Const:
    return Const(value, int64)


def test_sizes_are_told_apart_by_where_they_stand():
    """i + 2 - 3 and i + 4 - 5: two sizes, and a third one for the extent."""
    kernels = [
        flat(size, number(1), Binary("sub", Binary("add", INDEX, number(a)), number(b)), f"k{size}")
        for size, a, b in ((6, 2, 3), (9, 4, 5))
    ]
    found = share_sizes(kernels)
    first, second = (found[k] for k in kernels)
    assert first.kernel == second.kernel and (first.sizes, second.sizes) == ((6, 2, 3), (9, 4, 5))
    for kernel, size in zip(kernels, (6, 9), strict=True):
        wanted = run(kernel, size, ())
        np.testing.assert_array_equal(run(found[kernel].kernel, size, found[kernel].sizes), wanted)


@pytest.mark.parametrize("shared", ["first two", "last two", "none"])
def test_how_an_expression_is_shared_changes_no_result(shared):
    """Three constants, of which some may be one object: each kernel still gets its own values back."""

    def places(values: tuple[int, int, int]) -> Expr:
        a, b, c = map(number, values)
        if shared == "first two":
            b = a
        if shared == "last two":
            c = b
        return Binary("mod", Binary("add", Binary("add", INDEX, a), Binary("add", b, c)), number(5))

    plain = Binary("add", Binary("add", INDEX, number(1)), Binary("add", number(2), number(2)))
    kernels = [
        flat(5, number(0), places((1, 1, 2)), "one"),
        flat(5, number(0), places((3, 3, 3)), "two"),
        flat(5, number(0), Binary("mod", plain, number(5)), "three"),
    ]
    found = share_sizes(kernels)
    for kernel in kernels:
        made = found[kernel]
        np.testing.assert_array_equal(run(made.kernel, 5, made.sizes), run(kernel, 5, ()))


def test_zeros_of_either_sign_are_different_kernels():
    def scaled(size: int, factor: float) -> Kernel:
        x = Buffer("x", float32, (size,))
        value = Let("v", Binary("mul", Load(x, (INDEX,)), Const(factor, float32)))
        body = (value, Store(x, (INDEX,), Local("v", float32)))
        return Kernel("k", (x,), (), (For("i", number(0), number(size), body),))

    found = share_sizes([scaled(4, 0.0), scaled(5, -0.0)])
    assert all(not made.sizes for made in found.values())


def test_divisors_in_vector_loops_stay_numbers():
    at = Binary("mod", INDEX, number(4))
    kernels = [flat(size, number(0), at, mode="vector") for size in (4, 8)]
    (one, two) = share_sizes(kernels).values()
    assert one.kernel == two.kernel and one.sizes == (4,)
    others = [replace(k, name=f"{i}") for i, k in enumerate(kernels)]
    changed = flat(8, number(0), Binary("mod", INDEX, number(8)), mode="vector")
    assert share_sizes([others[0], changed])[changed].kernel == changed


def test_profile_times_every_launch_once():
    x = sg.input("x", ("n", 32))
    w = sg.state("w", np.ones((32, 32), np.float32))
    f = sg.function([x], sg.sum(sg.tanh(x @ w)), updates={w: w * 0.5}, name="profiled")
    values = np.ones((8, 32), np.float32)
    before = w.numpy()
    profile = f.profile(values, calls=3)
    assert len(profile.launches) == len(f.report().launches)
    assert 0 < sum(t.seconds for t in profile.launches) < 1
    assert all(t.seconds >= 0 for t in profile.launches)
    np.testing.assert_array_equal(w.numpy(), before)


def test_no_name_of_a_loop_could_be_a_dimensions():
    """Dimension names are identifiers, so the names that lowering makes must not be."""
    x, gamma = sg.input("x", ("batch", 40)), sg.input("gamma", (50,))
    h = x @ np.ones((40, 50), np.float32)
    loss = sg.sum(sg.tanh(nn.layer_norm(h, gamma)) * nn.batch_norm(h, gamma))
    f = sg.function([x, gamma], [loss, *sg.grad(loss, [x, gamma])])
    names = re.findall(r"^ *(?:for|let|alloc) ([^ :]+)", f.text("kernels"), re.MULTILINE)
    assert len(names) > 50 and not [name for name in names if name.isidentifier()]


def test_frozen_layers_share_kernels_and_keep_their_own_packed_weights():
    x = sg.input("x", ("batch", 8, 9, 5))
    weights = [RNG.standard_normal((3, 3, 5, 5)).astype("f") for _ in range(2)]
    matrix = RNG.standard_normal((2, 5, 5)).astype("f")
    y = x
    for w, m in zip(weights, matrix, strict=True):
        y = sg.matmul(convolution(y, sg.flip(sg.constant(w), axis=0)), sg.constant(m))
    graph = Graph(inputs=(x.node,), outputs=(node_of(y),), updates=())
    made = lower(graph, "f", ["y"], Options(frozen=True), Target.host())
    kernels = [step.kernel.name for step in made.steps]
    assert not any("pack" in str(name) for name in kernels)
    arrays = [weight_array(node) for node in made.memory.weights]
    a = RNG.standard_normal((2, 8, 9, 5)).astype("f")
    (found,) = interpret_program(made.program, [a], arrays)
    np.testing.assert_allclose(found, reference.run(graph, [a])[0], rtol=1e-4, atol=1e-3)
