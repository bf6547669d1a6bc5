"""The op contract (DESIGN section 5): what one line of samples buys an op.

Every case of a line is compiled together with its gradients into one function, so that the whole
contract costs one compilation an op.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from compiler import pipeline
from compiler.driver import Compiled, Options, compile_graph, weight_array
from symgraph.graph import Graph
from symgraph.symbol import Symbol
from symgraph.types import FLOATS, TensorType, float64
from tests import oracle
from tests.agreement import different_masks, disagreement, meets_spaced_zeros
from tests.program_interpreter import interpret_program
from tests.samples import FUNCTIONS, SAMPLES, Case

LINES = {**SAMPLES, **FUNCTIONS}
SIZES = (0, 1, 5, 17)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1.0, -1.5, 2.0])


@dataclass(frozen=True)
class Built:
    """All cases of a line in one graph. `places[i]` are the operands of case i among the inputs;
    an output belongs to a case and is its value, a gradient, or a gradient of a gradient."""

    cases: list[Case]
    graph: Graph
    owners: list[tuple[int, str]]
    compiled: Compiled

    def arrays(self, n: int, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, n])
        return [operand.draw(rng, n) for case in self.cases for operand in case.operands]

    def operands(self, number: int, arrays: list[np.ndarray]) -> list[np.ndarray]:
        start = sum(len(case.operands) for case in self.cases[:number])
        return arrays[start : start + len(self.cases[number].operands)]


def loss_of(value: Any) -> Any:
    """A scalar whose gradient differs from element to element."""
    return sg.sum(value * (value * 0.3 + 1.0))


def derivatives(case: Case, value: Any, operands: list[Any], second: bool) -> dict[str, Any]:
    """Gradients with respect to the float operands, by name."""
    wanted = {f"gradient {i}": o for i, o in enumerate(operands) if o.dtype in FLOATS}
    if value.dtype not in FLOATS or not wanted:
        return {}
    found = sg.grad(loss_of(value), wanted)
    if not second:
        return found
    total = sum((loss_of(g) for g in found.values()), start=loss_of(value) * 0.5)
    return {**found, **{f"second {name}": g for name, g in sg.grad(total, wanted).items()}}


def takes_second(case: Case, number: int, cases: list[Case]) -> bool:
    """One gradient of a gradient a line is compiled, in float64."""
    fitting = [i for i, c in enumerate(cases) if all(o.dtype == float64 for o in c.operands)]
    return bool(fitting) and number == fitting[0]


@cache
def built(name: str) -> Built:
    cases, graph, owners = written(name)
    labels = [f"{number} {what}" for number, what in owners]
    return Built(cases, graph, owners, compile_graph(graph, name, labels, Options(), threads=1))


def written(name: str) -> tuple[list[Case], Graph, list[tuple[int, str]]]:
    """The cases of a line, their graph, and whose each of its outputs is."""
    cases = LINES[name]
    inputs: list[Symbol] = []
    outputs: dict[tuple[int, str], Symbol] = {}
    for number, case in enumerate(cases):
        operands = [sg.input(f"x{number}_{i}", o.shape, o.dtype) for i, o in enumerate(case.operands)]
        inputs += operands
        value = case.function(*operands)
        outputs[number, "value"] = value
        second = takes_second(case, number, cases)
        outputs.update({(number, k): v for k, v in derivatives(case, value, operands, second).items()})
    graph = Graph(inputs=tuple(i.node for i in inputs), outputs=tuple(o.node for o in outputs.values()))
    return cases, graph, list(outputs)


def eager(case: Case, arrays: list[np.ndarray], second: bool) -> dict[str, np.ndarray]:
    tensors = [sg.tensor(a, requires_grad=a.dtype in FLOATS) for a in arrays]
    value = case.function(*tensors)
    return {"value": value.data, **{k: g.data for k, g in derivatives(case, value, tensors, second).items()}}


def eager_all(line: Built, arrays: list[np.ndarray]) -> dict[tuple[int, str], np.ndarray]:
    """What numpy makes of every case; a case without a meaning at this size (max of nothing) is left out."""
    found = {}
    for number, case in enumerate(line.cases):
        try:
            values = eager(case, line.operands(number, arrays), takes_second(case, number, line.cases))
        except ValueError:
            continue
        found.update({(number, what): value for what, value in values.items()})
    return found


def complete(line: Built, found: dict[tuple[int, str], np.ndarray]) -> bool:
    return len(found) == len(line.owners)


def check(line: Built, arrays: list[np.ndarray], got: Any) -> None:
    results = dict(zip(line.owners, got, strict=True))
    expected = eager_all(line, arrays)
    derived = next(s for s in line.compiled.lowered.stages if s.name == "derive_gradients").graph
    known = [i for i, owner in enumerate(line.owners) if owner in expected]
    wanted = replace(derived, outputs=tuple(derived.outputs[i] for i in known))
    exact = dict(zip(expected, oracle.run(wanted, arrays), strict=True))
    for owner, value in expected.items():
        wrong = disagreement(results[owner], value, exact[owner])
        assert not wrong, f"case {owner[0]} {line.cases[owner[0]].operands}, {owner[1]}: {wrong}"


def called(line: Built, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    result = line.compiled.native(*arrays)
    return result if isinstance(result, tuple) else (result,)


@pytest.fixture(scope="module", params=LINES)
def line(request) -> Built:
    """Of module scope, so that the tests of one op run one after another, in one process."""
    return built(request.param)


@pytest.mark.parametrize("name", LINES)
def test_inferred_type_is_the_evaluated_one(name):
    for case in LINES[name]:
        symbols = [sg.input(f"x{i}", o.shape, o.dtype) for i, o in enumerate(case.operands)]
        declared = case.function(*symbols).type
        arrays = [o.draw(np.random.default_rng(0), 5) for o in case.operands]
        value = case.function(*map(sg.tensor, arrays))
        sizes = tuple(e if isinstance(e, int) else e.evaluate({"n": 5}) for e in declared.shape)
        assert (
            TensorType(sizes, declared.dtype) == value.type == TensorType(value.data.shape, value.data.dtype)
        )


def test_compiled_is_eager(line):
    for n in SIZES if any(case.named for case in line.cases) else (1,):
        arrays = line.arrays(n)
        before = [a.copy() for a in arrays]
        if n == 0 and not complete(line, eager_all(line, arrays)):
            with pytest.raises(sg.InputError, match=r"zero-size|no elements"):
                called(line, arrays)
            continue
        check(line, arrays, called(line, arrays))
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True)), "an input was written"


def test_loop_interpreter_is_eager(line):
    arrays = line.arrays(5)
    weights = [weight_array(node) for node in line.compiled.lowered.memory.weights]
    check(line, arrays, interpret_program(line.compiled.lowered.program, arrays, weights))


def test_nan_and_infinities_pass_as_in_numpy(line):
    results = zip(line.owners, line.compiled.lowered.derived.outputs, strict=True)
    spaced = {owner for owner, result in results if meets_spaced_zeros(result)}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        arrays = [
            rng.choice(SPECIAL, a.shape).astype(a.dtype) if a.dtype in FLOATS else a
            for a in line.arrays(17, seed)
        ]
        results = dict(zip(line.owners, called(line, arrays), strict=True))
        for owner, value in eager_all(line, arrays).items():
            if owner in spaced:
                continue
            if value.dtype in FLOATS:
                wrong = different_masks(results[owner], value)
            else:
                wrong = disagreement(results[owner], value, value)
            operands = line.operands(owner[0], arrays)
            assert not wrong, f"case {owner[0]} {owner[1]} of {operands}: {wrong}"


def smooth_cases(name: str) -> list[Case]:
    """Cases in float64 whose operands are where derivatives exist."""
    return [c for c in LINES[name] if c.smooth and any(o.dtype == float64 for o in c.operands) and all(
        o.dtype != np.float32 for o in c.operands)]  # fmt: skip


DIFFERENTIABLE = [name for name in LINES if smooth_cases(name)]


def directions(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Every element of a small operand, random directions in a larger one."""
    size = int(np.prod(shape))
    if size > 6:
        return [rng.uniform(-1.0, 1.0, shape) for _ in range(4)]
    return [row.reshape(shape) for row in np.eye(size)]


def check_slope(
    function: Any, arrays: list[np.ndarray], which: int, gradient: np.ndarray, rtol: float
) -> None:
    """A gradient against central differences of a scalar function along some directions."""
    step = 1e-6
    for direction in directions(np.random.default_rng(11), gradient.shape):
        ends = []
        for sign in (1, -1):
            moved = list(arrays)
            moved[which] = arrays[which] + sign * step * direction
            ends.append(function(moved))
        slope = (ends[0] - ends[1]) / (2 * step)
        scale = 1.0 + np.abs(gradient * direction).sum()
        assert abs(np.vdot(gradient, direction) - slope) <= rtol * scale, (arrays, gradient, slope)


def _value_loss(case: Case, arrays: list[np.ndarray]) -> float:
    with sg.no_grad():
        return loss_of(case.function(*map(sg.tensor, arrays))).item()


def _slope_loss(case: Case, arrays: list[np.ndarray]) -> float:
    found = eager(case, arrays, second=False)
    slopes = [sg.tensor(v) for k, v in found.items() if k.startswith("gradient")]
    return sum(loss_of(s).item() for s in slopes) + 0.5 * loss_of(sg.tensor(found["value"])).item()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_finite_differences(name):
    """Of the value, and of the gradient itself."""
    for case in smooth_cases(name):
        rng = np.random.default_rng(7)
        arrays = [o.draw(rng, 3) for o in case.operands]
        found = eager(case, arrays, second=True)
        for i in range(len(arrays)):
            if f"gradient {i}" in found:
                check_slope(partial(_value_loss, case), arrays, i, found[f"gradient {i}"], 1e-7)
                check_slope(partial(_slope_loss, case), arrays, i, found[f"second gradient {i}"], 1e-6)


# Ops that a pass resolves before anything is evaluated: they have no contract, but tests in tests/passes.
# A loop is run by whoever runs its graph; it has a sample all the same.
RESOLVED = {"scan", "input", "constant", "state", "phase", "read", "carry", "gradient"}
LIST_OPS = """
import symgraph, compiler.pipeline
from symgraph.op import REGISTRY
print(*(f"{op.name}:{op.evaluate is not None}" for op in REGISTRY.values()))
"""


def test_every_op_has_a_sample():
    """In a process of its own, because tests and documents may declare ops too."""
    listed = subprocess.run([sys.executable, "-c", LIST_OPS], capture_output=True, text=True, check=True)
    ops = dict(entry.split(":") for entry in listed.stdout.split())
    without = {name for name, evaluated in ops.items() if evaluated == "True"} - set(SAMPLES)
    assert not without, f"add a line to tests/samples.py for {sorted(without)}"
    assert {name for name, evaluated in ops.items() if evaluated == "False"} == RESOLVED
    assert set(SAMPLES) <= set(ops), "a line for an op that does not exist"


def test_a_sample_uses_its_op():
    for name in SAMPLES:
        stages = pipeline.run(written(name)[1], training=False)
        used = {node.op.name for stage in stages for node in stage.graph.nodes}
        assert name in used, f"no case of {name} applies it"
