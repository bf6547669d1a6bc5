"""Random programs by other roads: through a file, and as a shared library that knows no Python."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.api import Function, function_of
from symgraph.symbol import Symbol
from symgraph.types import FLOATS
from tests.random_graphs import generate
from tests.random_program import Program, input_arrays, write


def programs(first: int, count: int) -> list[Program]:
    """With inputs, and without updates, because an exported function's weights are fixed."""
    found: list[Program] = []
    seed = first
    while len(found) < count:
        program = generate(seed, longest=4)
        if program.inputs() and not program.updates and all(s != {"n": 0} for s in program.sizes):
            found.append(program)
        seed += 1
    return found


def function(program: Program) -> Function:
    written = write(program)
    return function_of(written.graph, [Symbol(n) for n in written.graph.outputs], name="program", threads=1)


def close(one: np.ndarray, two: np.ndarray) -> bool:
    if one.dtype not in FLOATS:
        return np.array_equal(one, two)
    tolerance = 2e-4 if one.dtype == np.float32 else 1e-9
    return np.allclose(two, one, rtol=tolerance, atol=tolerance * np.abs(one).max(initial=1.0))


@pytest.mark.parametrize("first", [600, 700])
def test_saved_and_loaded_it_gives_the_same_bits(first, tmp_path):
    for program in programs(first, 5):
        f = function(program)
        f.save(tmp_path / "program.safetensors")
        again = sg.load(tmp_path / "program.safetensors", threads=1)
        for sizes in program.sizes:
            arrays = input_arrays(program, sizes)
            for one, two in zip(f(*arrays), again(*arrays), strict=True):
                np.testing.assert_array_equal(two, one, err_msg=f"seed {program.seed}")


@pytest.mark.parametrize("first", [800, 900])
def test_exported_it_gives_the_same_numbers(first, tmp_path):
    """Weights become constants there, and are folded: not the same bits, but close."""
    for number, program in enumerate(programs(first, 4)):
        f = function(program)
        made = f.export(tmp_path, name=f"program{number}", kinds=("header", "shared"))
        library = sg.load_library(made["shared"])
        for sizes in program.sizes:
            arrays = input_arrays(program, sizes)
            found = library(*arrays)
            for one, two in zip(f(*arrays), found if isinstance(found, tuple) else (found,), strict=True):
                assert close(one, two), f"seed {program.seed}: {two} for {one}"
