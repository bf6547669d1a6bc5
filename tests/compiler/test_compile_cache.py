"""The cache of compiled graphs: what is found again, what never may be, and what damage does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from compiler import graph_key as keys
from compiler.driver import Compiled, Options, compile_graph
from compiler.llvm.target import Target
from symgraph import nn, optim
from symgraph.graph import Graph
from symgraph.ops.elementwise import elementwise
from symgraph.symbol import node_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SYMGRAPH_CACHE", raising=False)
    return tmp_path / "cache"


def training_step() -> sg.Function:
    """All kinds of weights: parameters, moments, running statistics, random counters, constants."""
    sg.seed(0)
    x, y = sg.input("x", ("batch", 6)), sg.input("y", ("batch",), dtype=sg.int64)
    model = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3)
    )
    table = sg.constant(np.arange(12, dtype=np.float32).reshape(2, 6) / 10)
    loss = nn.cross_entropy(model(x + table[1]), y)
    updates = optim.Adam(1e-2).minimize(loss, model.parameters())
    return sg.function([x, y], loss, updates=updates, training=True, name="step", threads=1)


def losses(step: sg.Function) -> list[float]:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((5, 6)).astype(np.float32), rng.integers(0, 3, 5)
    return [float(step(x, y)) for _ in range(4)]


def compiled(outputs, inputs, options: Options | None = None, name: str = "f") -> Compiled:
    graph = Graph(inputs=tuple(i.node for i in inputs), outputs=tuple(node_of(o) for o in outputs))
    labels = [str(i) for i in range(len(outputs))]
    return compile_graph(graph, name, labels, options or Options(), threads=1)


def from_cache(function: sg.Function | Compiled) -> bool:
    return "cache" in (function.report().seconds if isinstance(function, sg.Function) else function.seconds)


def test_a_step_from_the_cache_trains_the_same(folder):
    first = training_step()
    assert not from_cache(first)
    wanted = losses(first)
    second = training_step()
    assert second._compiled.seconds.keys() == {"cache"}
    assert losses(second) == wanted
    assert len(list(folder.glob("*.object"))) <= 2  # the step, and the run-time of the process


def test_no_pass_runs_for_a_graph_that_is_found(monkeypatch):
    wanted = losses(training_step())

    def refuse(*_, **__):
        raise AssertionError("a pass ran")

    monkeypatch.setattr("compiler.pipeline.run", refuse)
    monkeypatch.setattr("compiler.jit.cache.compile_module", refuse)
    assert losses(training_step()) == wanted


def test_reports_and_texts_of_a_function_from_the_cache():
    first, second = training_step(), training_step()
    assert first.text("kernels") == second.text("kernels") and "step_run" in second.text("llvm")
    assert first.text("llvm") == second.text("llvm")
    one, two = first.report(), second.report()
    assert (one.launches, one.kernels, one.object_bytes) == (two.launches, two.kernels, two.object_bytes)
    assert "cache" in str(two)


def test_states_of_the_second_function_are_its_own():
    def counter(start: float) -> tuple[sg.State, sg.Function]:
        total = sg.state("total", np.full(3, start, np.float32))
        x = sg.input("x", (3,))
        return total, sg.function([x], total * 2.0, updates={total: total + x})

    one, f = counter(1.0)
    two, g = counter(10.0)
    assert from_cache(g)
    g(np.ones(3, np.float32))
    f(np.zeros(3, np.float32))
    np.testing.assert_array_equal(g(np.ones(3, np.float32)), np.full(3, 22))
    np.testing.assert_array_equal(one.numpy(), np.ones(3))
    np.testing.assert_array_equal(two.numpy(), np.full(3, 12))


def test_shared_and_separate_states_are_told_apart():
    x = sg.input("x", (2,))
    a, b = sg.state("a", np.array([1, 2], np.float32)), sg.state("b", np.array([3, 4], np.float32))
    arrays = [np.zeros(2, np.float32)]
    np.testing.assert_array_equal(compiled([x + a - a], [x]).native(*arrays), [0, 0])
    separate = compiled([x + a - b], [x])
    assert not from_cache(separate)
    np.testing.assert_array_equal(separate.native(*arrays), [-2, -2])


def variants() -> dict[str, Compiled]:
    """Functions that differ in one thing each."""
    x, y = sg.input("x", ("batch", 4)), sg.input("y", ("batch", 4))
    wide, fixed = sg.input("x", ("batch", 5)), sg.input("x", (7, 4))
    double = sg.input("x", ("batch", 4), dtype=sg.float64)
    other_dim = sg.input("x", ("rows", 4))
    w32, w64 = (sg.state("w", np.ones(4, t)) for t in (np.float32, np.float64))
    norm = nn.BatchNorm(4)
    return {
        "plain": compiled([x * 2.0], [x]),
        "constant": compiled([x * 3.0], [x]),
        "sign of zero": compiled([x * -0.0], [x]),
        "zero": compiled([x * 0.0], [x]),
        "op": compiled([x + 2.0], [x]),
        "name": compiled([x * 2.0], [x], name="g"),
        "input's shape": compiled([wide * 2.0], [wide]),
        "static": compiled([fixed * 2.0], [fixed]),
        "dtype": compiled([double * 2.0], [double]),
        "dimension's name": compiled([other_dim * 2.0], [other_dim]),
        "operands": compiled([x - y], [x, y]),
        "operands swapped": compiled([y - x], [x, y]),
        "inputs swapped": compiled([x - y], [y, x]),
        "outputs": compiled([x * 2.0, x], [x]),
        "outputs swapped": compiled([x, x * 2.0], [x]),
        "attribute": compiled([sg.sum(x, axis=0)], [x]),
        "other attribute": compiled([sg.sum(x, axis=1)], [x]),
        "state": compiled([x * w32], [x]),
        "state's dtype": compiled([double * w64], [double]),
        "phase": compiled([norm(x)], [x], Options(training=False)),
        "training": compiled([norm(x)], [x], Options(training=True)),
        "unfused": compiled([x * 2.0], [x], Options(fuse=False)),
        "skipped": compiled([x * 2.0], [x], Options(skip=frozenset({"simplify"}))),
        "frozen": compiled([x * w32], [x], Options(frozen=True)),
        "array": compiled([x * sg.constant(np.arange(4, dtype=np.float32))], [x]),
        "other array": compiled([x * sg.constant(np.arange(4, 8).astype(np.float32))], [x]),
    }


def test_whatever_matters_changes_the_key():
    assert [label for label, c in variants().items() if from_cache(c)] == []
    assert [label for label, c in variants().items() if not from_cache(c)] == []


def test_frozen_weights_count():
    def doubled(value: float) -> np.ndarray:
        x, w = sg.input("x", (2,)), sg.state("w", np.full(2, value, np.float32))
        return compiled([x * w], [x], Options(frozen=True)).native(np.ones(2, np.float32))

    assert (doubled(2.0)[0], doubled(3.0)[0], doubled(2.0)[0]) == (2, 3, 2)


def test_lines_and_names_of_states_do_not_count():
    def scaled(name: str) -> Compiled:
        x = sg.input("x", (2,))
        return compiled([x * sg.state(name, np.ones(2, np.float32))], [x])

    assert not from_cache(scaled("w"))
    assert from_cache(scaled("another"))


def test_other_targets_versions_and_sources_have_other_keys(monkeypatch):
    x = sg.input("x", (2,))
    graph = Graph(inputs=(x.node,), outputs=(node_of(x + 1.0),))
    host = Target.host()

    def key(target: Target = host, settings: tuple = ()) -> str:
        found = keys.graph_key(graph, settings, target, False)
        assert found is not None
        return found.text

    seen = {key(), key(replace(host, cpu="x86-64")), key(replace(host, features="")), key(settings=(1,))}
    for name in ("versions", "source_hash"):
        with monkeypatch.context() as patch:
            patch.setattr(keys, name, lambda: "another")
            seen.add(key())
    assert len(seen) == 6 and key() in seen


def test_a_users_own_op_is_never_taken_from_the_cache():
    @elementwise()
    def cubed(k, x):
        """x * x * x"""
        return x * x * x

    x = sg.input("x", (3,))
    for _ in range(2):
        made = compiled([cubed(x)], [x])
        assert not from_cache(made)
        np.testing.assert_array_equal(made.native(np.array([1, 2, 3], np.float32)), [1, 8, 27])


def test_damage_is_noticed_and_repaired(folder):
    x = sg.input("x", ("n",))
    values = np.linspace(-1, 1, 9).astype(np.float32)
    wanted = compiled([sg.tanh(x)], [x]).native(values)
    whole = {path: path.read_bytes() for path in folder.glob("*.object")}
    for cut in (0, 1, 40, 90, 200, -1):
        for path, data in whole.items():
            path.write_bytes(data[:cut] + bytes([data[cut] ^ 1]) + data[cut + 1 :] if cut >= 0 else data[:-1])
        again = compiled([sg.tanh(x)], [x])
        assert not from_cache(again)
        np.testing.assert_array_equal(again.native(values), wanted)
        assert from_cache(compiled([sg.tanh(x)], [x]))


def test_off_by_environment(folder, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_CACHE", "0")
    x = sg.input("x", (3,))
    for _ in range(2):
        assert not from_cache(compiled([x * 2.0], [x]))
    assert not folder.exists()


def test_empty_batches_and_wrong_indices_after_a_hit():
    def lookup() -> sg.Function:
        table, rows = sg.input("table", (4, 2)), sg.input("rows", ("n",), dtype=sg.int64)
        return sg.function([table, rows], sg.take(table, rows, axis=0), name="lookup")

    lookup()
    second = lookup()
    assert from_cache(second)
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert second(table, np.zeros(0, np.int64)).shape == (0, 2)
    with pytest.raises(sg.InputError, match="9"):
        second(table, np.array([1, 9]))


CHILD = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests/compiler"]
from test_compile_cache import losses, training_step
step = training_step()
text = step.text("llvm")
import hashlib
print(losses(step), hashlib.sha256(text.encode()).hexdigest(), flush=True)
"""


def child(folder: Path, seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "SYMGRAPH_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", CHILD, str(ROOT)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_agree_whatever_their_hash_seed(folder):
    """The first two compile at once; those after them find one entry, under one key, with the same text."""
    together = [child(folder, seed) for seed in (0, 1)]
    outputs = [process.communicate(timeout=120)[0] for process in together]
    entries = {path.name for path in folder.iterdir()}
    outputs += [child(folder, seed).communicate(timeout=120)[0] for seed in (2, 3)]
    assert len(set(outputs)) == 1 and outputs[0]
    assert {path.name for path in folder.iterdir()} == entries and len(entries) == 2
