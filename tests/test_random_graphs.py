"""300 small random programs, forward and backward, compiled as they come and, every eighth, another way too.

A failure names its seed; `python -m tests.random_graphs --seed SEED --count 1 --longest 4` shrinks and
prints it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from compiler.driver import Options
from symgraph.types import FLOATS
from tests.random_check import check, shrink
from tests.random_graphs import generate, variant
from tests.random_program import Program, source

COUNT, CHUNK = 300, 10
ALL = range(0, COUNT, CHUNK)


@cache
def program_of(seed: int) -> Program:
    """Short ones: compiling takes most of the time, and longer ones run outside the suite."""
    return generate(seed, longest=4)


def fails(program: Program, seed: int) -> None:
    wrong = check(program)
    assert not wrong, f"seed {seed}: {wrong}\n{source(program)}"


@pytest.mark.parametrize("first", ALL)
def test_compiled_is_eager_and_exact(first):
    for seed in range(first, first + CHUNK):
        program = program_of(seed)
        fails(program, seed)
        if seed % 8 == 0:
            fails(variant(program), seed)


def test_a_seed_always_makes_the_same_program():
    assert [source(generate(seed)) for seed in range(2)] == [source(generate(seed)) for seed in range(2)]


def test_what_the_generator_reaches():
    """Kinds of ops, dims, dtypes, updates and outputs that the suite's programs together must contain."""
    programs = [program_of(seed) for seed in range(COUNT)]
    text = "\n".join(line.text for p in programs for line in p.lines)
    words = (
        "softmax layer_norm batch_norm @ concat take scatter_add where argmax pad permute_dims reshape [ var"
    )
    words += " prod cast flip group_norm logsumexp random_uniform conv1d conv2d conv_transpose max_pool2d"
    for word in words.split():
        assert word in text, word
    assert sum(bool(p.wanted) for p in programs) > COUNT / 2
    assert sum(bool(p.updates) for p in programs) >= 10
    assert sum(p.second for p in programs) >= 10
    assert any(len(set(p.outputs)) < len(p.outputs) for p in programs)
    assert any(p.leaf(name) for p in programs for name in p.outputs)
    assert any(0 in leaf.type.shape or {"n": 0} in p.sizes for p in programs for leaf in p.leaves)
    assert {leaf.type.dtype for p in programs for leaf in p.leaves} >= set(FLOATS)


def test_shrinking_leaves_what_fails():
    """A check that dislikes tanh finds a program of one line, whatever stood around it."""
    seed = next(
        s for s in range(COUNT) if any(line.text.startswith("sg.tanh(v") for line in program_of(s).lines)
    )

    def dislikes(program: Program) -> str:
        return "tanh" if any("sg.tanh(" in line.text for line in program.lines) else ""

    program = replace(program_of(seed), options=Options(fuse=False, skip=frozenset({"simplify"})))
    small = shrink(program, dislikes)
    assert len(small.lines) == 1 and "sg.tanh(" in small.lines[0].text
    assert small.options == Options() and not small.wanted
