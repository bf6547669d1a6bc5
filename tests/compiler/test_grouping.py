"""Groups: runs of one kernel that do not depend on each other are one launch; no result changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from native_programs import BATCH, argument, axes, input_place, nest, output_place

import symgraph as sg
from compiler import recipe
from compiler.aot.library import load_library
from compiler.driver import Options, lower
from compiler.grouping import MOST_HELD, MOST_MEMBERS, group_steps
from compiler.jit.load import load
from compiler.llvm import entry_group
from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, Kernel, Load, Store
from compiler.loop.walk import written_buffers
from compiler.lower.access import Memory
from compiler.lower.step import Step
from compiler.program import Group, Launch, Program
from compiler.recipe import Lowered
from symgraph import nn, optim
from symgraph.dimension import Dim
from symgraph.graph import Graph
from symgraph.symbol import node_of
from symgraph.types import float32
from tests.program_interpreter import interpret_program

OPTIMIZERS = {
    "sgd": lambda: optim.SGD(0.1),
    "momentum": lambda: optim.SGD(0.1, momentum=0.9),
    "adam": lambda: optim.Adam(1e-2),
}


@pytest.fixture
def apart(monkeypatch):
    """Call it, and functions made later have no groups."""

    def switch() -> None:
        monkeypatch.setattr(recipe, "group_steps", lambda graph, steps: tuple((step,) for step in steps))

    monkeypatch.setenv("SYMGRAPH_CACHE", "0")
    return switch


@pytest.fixture
def all_shared(monkeypatch):
    """However little a group does, threads share it."""
    monkeypatch.setenv("SYMGRAPH_CACHE", "0")
    monkeypatch.setattr(entry_group, "LEAST_SHARED", 0)


def classifier(sizes: list[int], seed: int = 0) -> tuple[nn.Module, sg.Symbol, list[sg.Symbol]]:
    sg.seed(seed)
    x, y = sg.input("x", ("batch", sizes[0])), sg.input("y", ("batch",), dtype=sg.int64)
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    model = nn.Sequential(*layers[:-1])
    return model, nn.cross_entropy(model(x), y), [x, y]


def train(optimizer, sizes: list[int], threads: int) -> tuple[list[np.ndarray], sg.Function]:
    """The parameters after three steps."""
    model, loss, inputs = classifier(sizes)
    updates = optimizer.minimize(loss, model.parameters())
    step = sg.function(inputs, loss, updates, training=True, threads=threads)
    rng = np.random.default_rng(0)
    for _ in range(3):
        step(rng.standard_normal((9, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], 9))
    return [p.numpy() for p in model.parameters()], step


def lowered(outputs, inputs, updates=()) -> Lowered:
    pairs = tuple((node_of(state), node_of(value)) for state, value in dict(updates).items())
    graph = Graph(
        inputs=tuple(i.node for i in inputs), outputs=tuple(node_of(o) for o in outputs), updates=pairs
    )
    return lower(graph, "f", [str(i) for i in range(len(outputs))], Options(training=True), Target.host())


def groups_of(made: Lowered) -> list[Group]:
    return [launch for launch in made.program.launches if isinstance(launch, Group)]


def test_the_optimizer_of_an_mlp_is_one_launch():
    model, loss, inputs = classifier([784, 256, 128, 10])
    updates = optim.Adam(1e-3).minimize(loss, model.parameters())
    report = sg.function(inputs, loss, updates, training=True).report()
    (line,) = [line for line in report.launches if "add+sqrt" in line.title]
    assert line.runs == len(list(model.parameters())) == 6
    count = sum(math.prod(p.shape) for p in model.parameters())
    assert line.bytes > 4 * 4 * count and "(in 6 runs)" in str(report)


def test_each_formula_is_one_launch():
    """Some decay and others do not: two kernels, two launches, whatever the order of the updates."""
    states = [sg.state(f"s{i}", np.ones(5 + i, np.float32)) for i in range(6)]
    x = sg.input("x", ())
    new = {s: s * 0.9 - sg.exp(x * s) if i % 2 else s - sg.exp(x * s) for i, s in enumerate(states)}
    made = lowered([x + 1.0], [x], new)
    assert [len(group.runs) for group in groups_of(made)] == [3, 3]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_change_no_bit(name, apart, all_shared):
    sizes = [33, 40, 40, 1, 5]  # a weight of 40 elements, a bias of 1
    grouped = [train(OPTIMIZERS[name](), sizes, threads) for threads in (1, 2, 3)]
    apart()
    plain, step = train(OPTIMIZERS[name](), sizes, 1)
    assert all(line.runs == 1 for line in step.report().launches)
    for parameters, step in grouped:
        assert any(line.runs > 1 for line in step.report().launches)
        for a, b in zip(parameters, plain, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_large_group_is_shared_by_itself(monkeypatch):
    """Above the threshold for real: 40 updates of 20,000 elements and 40 of one."""
    monkeypatch.setenv("SYMGRAPH_CACHE", "0")
    rng = np.random.default_rng(3)
    old = [rng.standard_normal(n).astype(np.float32) for n in (20_000, 1) for _ in range(40)]
    x = sg.input("x", ())
    results = []
    for threads in (1, 2):
        states = [sg.state(f"s{i}", a) for i, a in enumerate(old)]
        f = sg.function([x], x + 1.0, {s: s * x - sg.sqrt(sg.abs(s)) for s in states}, threads=threads)
        f(np.float32(0.5))
        results.append([s.numpy() for s in states])
        assert [line.runs for line in f.report().launches if "sqrt" in line.title] == [40, 40]
    for before, one, two in zip(old, *results, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, before * 0.5 - np.sqrt(np.abs(before)), rtol=1e-6, atol=1e-7)


def state(name: str, size: int, seed: int) -> tuple[sg.Symbol, np.ndarray]:
    array = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return sg.state(name, array), array


def test_updates_that_read_other_states_see_their_old_values(apart):
    """A chain p0 <- p1 <- p2 ... and a value that is read after it has been made."""
    pairs = [state(f"p{i}", 50, i) for i in range(5)]
    states, arrays = [p for p, _ in pairs], [a for _, a in pairs]
    x = sg.input("x", ())
    new = {a: a + b * x for a, b in pairwise(states)}
    new[states[-1]] = states[-1] + states[0] * x
    out = sg.sum(new[states[0]]) + sg.sum(states[4])
    f = sg.function([x], out, new)
    result = f(np.float32(0.5))
    wanted = [a + b * np.float32(0.5) for a, b in zip(arrays, [*arrays[1:], arrays[0]], strict=True)]
    for p, w in zip(states, wanted, strict=True):
        np.testing.assert_array_equal(p.numpy(), w)
    np.testing.assert_allclose(result, wanted[0].astype(np.float64).sum() + arrays[4].sum(), rtol=1e-5)


def test_updates_that_read_new_values_come_later():
    """q's new value reads p's new value through a sum: two runs of one kernel in two launches."""
    (p, a), (q, b), (r, c) = (state(name, 64, seed) for seed, name in enumerate("pqr"))
    x = sg.input("x", ())
    first = sg.exp(p) * x
    new = {p: first, r: sg.exp(r) * x, q: sg.exp(q) * sg.sum(first)}
    f = sg.function([x], x + 1.0, new)
    f(np.float32(0.25))
    wanted = np.exp(a.astype(np.float64)) * 0.25
    np.testing.assert_allclose(p.numpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(r.numpy(), np.exp(c.astype(np.float64)) * 0.25, rtol=1e-6)
    np.testing.assert_allclose(q.numpy(), np.exp(b.astype(np.float64)) * wanted.sum(), rtol=1e-5)


def test_an_update_does_not_come_along_before_its_old_value_is_read():
    """p's new value is needed early, and brings q's and r's with it; s's old value is read after that."""
    pairs = [state(name, size, size) for name, size in zip("pqrs", (36, 50, 51, 42), strict=True)]
    states, arrays = [p for p, _ in pairs], [a for _, a in pairs]
    x = sg.input("x", ("batch", 6))
    new = {p: sg.exp(p) * 0.5 for p in states}
    early = sg.tanh(x @ sg.reshape(new[states[0]], (6, 6)))
    late = early @ sg.reshape(states[3], (6, 7))
    made = lowered([late], [x], new)
    assert [len(group.runs) for group in groups_of(made)] == [3]
    values = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    result = sg.function([x], late, new)(values)
    exps = [np.exp(a.astype(np.float64)) * 0.5 for a in arrays]
    wanted = np.tanh(values @ exps[0].reshape(6, 6)) @ arrays[3].reshape(6, 7)
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)
    for p, w in zip(states, exps, strict=True):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-6)


def test_a_parameter_that_is_used_twice_is_updated_once(apart):
    w, array = state("w", 36, 7)
    x = sg.input("x", ("batch", 6))
    h = sg.tanh(x @ sg.reshape(w, (6, 6)))
    loss = sg.sum(sg.tanh(h @ sg.reshape(w, (6, 6))))
    v, _ = state("v", 1, 8)
    new = {w: w - 0.1 * sg.grad(loss, w), v: v - 0.1 * sg.grad(loss * sg.sum(v), v)}
    values = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    f = sg.function([x], loss, new)
    f(values)
    grouped = w.numpy()
    w.assign(array)
    apart()
    sg.function([x], loss, {w: new[w]})(values)
    np.testing.assert_array_equal(grouped, w.numpy())
    assert not np.array_equal(grouped, array)


@pytest.mark.parametrize("batch", [1, 7, 20_000])
def test_named_sizes(batch, all_shared):
    """Independent work over a named dimension."""
    inputs = [sg.input(f"x{i}", ("batch", n)) for i, n in enumerate((5, 1, 5, 5, 1, 2))]
    f = sg.function(inputs, [sg.exp(x) * 0.5 + x for x in inputs], threads=2)
    assert sorted(line.runs for line in f.report().launches) == [1, 2, 3]
    rng = np.random.default_rng(batch)
    arrays = [rng.standard_normal((batch, *map(int, x.shape[1:]))).astype(np.float32) for x in inputs]
    for result, x in zip(f(*arrays), arrays, strict=True):
        np.testing.assert_allclose(result, np.exp(x.astype(np.float64)) * 0.5 + x, rtol=1e-6, atol=1e-6)


def test_exported_code_runs_groups(tmp_path):
    """Three arrays of different sizes, three of one named size."""
    inputs = [sg.input(f"x{i}", (n,)) for i, n in enumerate((3, 4, 2))]
    inputs += [sg.input(f"x{i}", ("batch", 2)) for i in range(3, 6)]
    f = sg.function(inputs, [sg.exp(x) * 0.5 + x for x in inputs])
    assert [line.runs for line in f.report().launches] == [3, 3]
    f.export(tmp_path, name="three", kinds=("object", "shared"))
    shapes = [(3,), (4,), (2,), *[(5, 2)] * 3]
    arrays = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    native = f(*arrays)
    for result, wanted in zip(load_library(tmp_path / "libthree.so")(*arrays), native, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-6)


def test_the_interpreter_finds_the_runs_of_groups_independent():
    """interpret_program holds it; the updates of an MLP, weights packed side by side."""
    model, loss, inputs = classifier([12, 20, 20, 20, 3])
    made = lowered([loss], inputs, optim.Adam(1e-2).minimize(loss, model.parameters()))
    assert len(groups_of(made)) >= 2
    weights = [np.array(recipe_array(node)) for node in made.memory.weights]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 12)).astype(np.float32), rng.integers(0, 3, 5)
    (value,) = interpret_program(made.program, [x, y], weights)
    step = sg.function(inputs, loss, training=True)
    np.testing.assert_allclose(value, step(x, y), rtol=1e-5)


def recipe_array(node) -> np.ndarray:
    held = node.attrs.get("state")
    return held.data if held is not None else node.attrs["value"]


def constant_bytes(made: Lowered) -> int:
    return sum(max(slot.sizes) for slot in made.program.slots if all(isinstance(s, int) for s in slot.sizes))


def test_what_waits_is_bounded(apart):
    """Gradients of 4 MiB together: the arena grows by what may be held and a little."""
    model, loss, inputs = classifier([128] * 65)
    updates = optim.Adam(1e-2).minimize(loss, model.parameters())
    grouped = lowered([loss], inputs, updates)
    apart()
    plain = lowered([loss], inputs, updates)
    assert constant_bytes(grouped) <= constant_bytes(plain) + 1.25 * MOST_HELD
    assert len(groups_of(grouped)) > 3 and len(grouped.steps) == len(plain.steps)


def reads_from(steps: Sequence[Step]) -> dict[int, list[int | None]]:
    """For each step, who wrote what it finds in its memories."""
    writer: dict[Memory, int] = {}
    found = {}
    for step in steps:
        found[id(step)] = [writer.get(memory) for memory in step.memories]
        names = written_buffers(step.kernel)
        pairs = zip(step.kernel.buffers, step.memories, strict=True)
        writer.update((memory, id(step)) for buffer, memory in pairs if buffer.name in names)
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_step_finds_what_it_found_in_the_order_of_lowering(name, apart):
    model, loss, inputs = classifier([16] * 12 + [7, 16, 3])
    apart()
    made = lowered([loss], inputs, OPTIMIZERS[name]().minimize(loss, model.parameters()))
    groups = group_steps(made.graph, made.steps)
    assert len(groups) < len(made.steps) - 20
    for backwards in (False, True):
        steps = [step for group in groups for step in (reversed(group) if backwards else group)]
        assert reads_from(steps) == reads_from(made.steps)


def squares(count: int, mode: str) -> Program:
    """out_i = x_i * x_i over (batch, i + 1), as one group."""
    width = Dim.named("width")
    shape = (BATCH, width)
    x, out = Buffer("x", float32, shape), Buffer("out", float32, shape)
    body = nest(shape, Store(out, axes(shape), Load(x, axes(shape)) * Load(x, axes(shape))), mode)
    kernel = Kernel("square", (x, out), ("batch", "width"), body)
    runs = tuple(Launch(kernel, (input_place(i), output_place(i)), (BATCH, i + 1)) for i in range(count))
    arguments = [tuple(argument(f"{k}{i}", (BATCH, i + 1)) for i in range(count)) for k in "xy"]
    return Program("squares", arguments[0], arguments[1], (), ("batch",), (), (Group(runs),))


@pytest.mark.parametrize("mode", ["serial", "parallel"])
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_every_task_of_every_run_is_done_once(mode, batch, all_shared):
    """Kernels with and without tasks of their own, on more and on fewer threads than runs."""
    rng = np.random.default_rng(batch)
    arrays = [rng.standard_normal((batch, i + 1)).astype(np.float32) for i in range(7)]
    for threads in (1, 2, 5, 16):
        for out, x in zip(load(squares(7, mode), threads=threads)(*arrays), arrays, strict=True):
            np.testing.assert_array_equal(out, x * x)


def test_a_group_has_one_kernel_and_one_named_size():
    program = squares(2, "serial")
    first, second = program.runs
    with pytest.raises(ValueError, match="the same named extents"):
        Group((first, Launch(second.kernel, second.places, (BATCH * 2, 2))))
    other = squares(1, "parallel").runs[0]
    with pytest.raises(ValueError, match="one kernel"):
        Group((first, other))


def test_groups_are_no_larger_than_their_table():
    x = sg.input("x", ())
    arrays = [np.ones(2 + i % 2, np.float32) for i in range(MOST_MEMBERS + 10)]
    states = [sg.state(f"s{i}", a) for i, a in enumerate(arrays)]
    made = lowered([x + 1.0], [x], {s: s * x for s in states})
    assert sorted(len(group) for group in made.groups) == [1, 10, MOST_MEMBERS]
    assert all(isinstance(step, Step) for step in made.steps)
