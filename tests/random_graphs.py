"""Random programs against three oracles: the eager world, float64, and themselves under other passes.

    python -m tests.random_graphs --count 1000 --seed 0

runs more of them than the suite does; a failure is shrunk and printed as a small script.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np

import symgraph as sg
from compiler.driver import Options
from compiler.pipeline import REQUIRED, passes
from symgraph.dimension import Dim, evaluate
from symgraph.errors import GradientError, SymgraphError
from symgraph.types import FLOATS, TensorType, float32, float64
from tests.random_check import check, shrink
from tests.random_program import Line, Program, eager_results, input_arrays, results_of, source, write
from tests.random_rules import DIMS, RULES, Growing

LARGEST_VALUE, LARGEST_SIZE = 1e3, 6000
OPTIONAL = tuple(name for name, _ in passes(training=False, frozen=False) if name not in REQUIRED)


def generate(seed: int, longest: int = 18) -> Program:
    """The program of a seed, of at most so many lines."""
    rng = np.random.default_rng([seed, 77])
    named = [Dim.named("n")] if rng.random() < 0.6 else []
    dims = (*named, *(int(d) for d in rng.choice(DIMS[1:] if rng.random() < 0.9 else DIMS, 2)))
    growing = Growing(rng, float32 if rng.random() < 0.6 else float64, dims)
    counts = rng.choice([1, 2, 3, 5, 7, 9, 17, 33, 65, 0], 2, replace=False)
    sizes = tuple({"n": int(n)} for n in counts) if named else ({},)
    empty = Program(seed, (), sizes=sizes, threads=1 if rng.random() < 0.8 else 2)
    program = _grown(empty, growing, 1 + int(min(rng.geometric(0.12), longest - 1)))
    return _finished(program, growing).trimmed()


def _grown(program: Program, g: Growing, wanted: int) -> Program:
    for _ in range(1 + int(g.chance(0.4))):
        g.leaf(tuple(g.one_of(g.dims) for _ in range(int(g.rng.integers(1, 4)))), g.dtype)
        program = _with_leaves(program, g)
    weights = [weight for weight, _ in RULES]
    for _ in range(6 * wanted):
        if len(program.lines) >= wanted:
            break
        rule = RULES[int(g.rng.choice(len(RULES), p=weights))][1]
        text = rule(g)
        grown = text and _extended(program, g, text)
        g.fresh.clear()
        program = grown or program
    return program


def _with_leaves(program: Program, g: Growing) -> Program:
    g.leaves += g.fresh
    g.types.update({leaf.name: leaf.type for leaf in g.fresh})
    program = replace(program, leaves=(*program.leaves, *g.fresh))
    g.fresh.clear()
    return program


def _extended(program: Program, g: Growing, text: str) -> Program | None:
    """The program with one more line, if its values are defined, moderate and small enough."""
    name = f"v{len(program.lines)}"
    trial = replace(program, leaves=(*program.leaves, *g.fresh), lines=(
        *program.lines, Line(name, text, TensorType((), float32))), outputs=(name,))  # fmt: skip
    try:
        kind = _type_of(trial, name)
        values = [eager_results(trial, input_arrays(trial, s), wide=True) for s in trial.sizes]
    except (ValueError, TypeError):
        return None
    arrays = [next(iter(v.values())) for v in values]
    if not all(_moderate(a) and a.size <= LARGEST_SIZE for a in arrays) or len(kind.shape) > 4:
        return None
    # x[1:] of a named dimension that is 0 is empty in numpy, but an error of the compiled function.
    declared = [tuple(evaluate(e, s) for e in kind.shape) for s in trial.sizes]
    if declared != [a.shape for a in arrays]:
        return None
    program = _with_leaves(program, g)
    g.types[name] = kind
    return replace(program, lines=(*program.lines, Line(name, text, kind)))


def _type_of(program: Program, name: str) -> TensorType:
    leaves = {leaf.name: sg.input(leaf.name, leaf.type.shape, leaf.type.dtype) for leaf in program.leaves}
    return results_of(replace(program, outputs=(name,)), leaves)[f"output 0 ({name})"].type


def _moderate(array: np.ndarray) -> bool:
    return bool(np.all(np.isfinite(array)) and (array.size == 0 or np.abs(array).max() <= LARGEST_VALUE))


def _finished(program: Program, g: Growing) -> Program:
    """Choose outputs (leaves and doubles too), updates, and gradients where they exist and are moderate."""
    names = list(g.types)
    last = program.lines[-1].name if program.lines else names[-1]
    used = {name for line in program.lines for name in line.operands}
    ends = [line.name for line in program.lines if line.name not in used and g.chance(0.6)]
    outputs = dict.fromkeys([last, *ends]), [g.one_of(names) for _ in range(int(g.rng.integers(0, 3)))]
    program = replace(program, outputs=(*outputs[0], *outputs[1]), updates=_updates(program, g))
    floats = [line.name for line in program.lines if line.type.dtype in FLOATS]
    if not floats:
        return program
    losses = tuple(dict.fromkeys((floats[-1], *(n for n in ends if n in floats))))
    wanted = tuple(leaf.name for leaf in program.leaves if leaf.type.dtype in FLOATS)
    trial = replace(program, losses=losses, wanted=wanted, second=g.chance(0.12))
    return _differentiable(trial) or _differentiable(replace(trial, second=False)) or program


def _differentiable(program: Program) -> Program | None:
    wanted = [name for name in program.wanted if _has_gradient(replace(program, wanted=(name,)))]
    program = replace(program, wanted=tuple(wanted[-2:]))
    try:
        found = [eager_results(program, input_arrays(program, s), wide=True) for s in program.sizes]
    except SymgraphError:
        return None
    fine = all(_moderate(v) for values in found for k, v in values.items() if "gradient" in k)
    return program if program.wanted and fine else None


def _has_gradient(program: Program) -> bool:
    """In a graph of inputs, and in the one that is compiled, where states meet states eagerly."""
    leaves = {leaf.name: sg.input(leaf.name, leaf.type.shape, leaf.type.dtype) for leaf in program.leaves}
    try:
        results_of(program, leaves)
        write(program)
    except GradientError:
        return False
    return True


def _updates(program: Program, g: Growing) -> tuple[tuple[str, str], ...]:
    """New values of states: any value of the type, other states (swapped) first."""
    found = []
    states = [leaf for leaf in program.leaves if leaf.kind == "state"]
    for state in states:
        others = [leaf.name for leaf in states if leaf.type == state.type and leaf is not state]
        same = [name for name, kind in g.types.items() if kind == state.type]
        if g.chance(0.8):
            found.append((state.name, g.one_of(others if others and g.chance(0.5) else same)))
    return tuple(found)


def variant(program: Program) -> Program:
    """The same program compiled another way: unfused, or without some of the optional passes."""
    rng = np.random.default_rng([program.seed, 78])
    skipped = frozenset(name for name in OPTIONAL if rng.random() < 0.4)
    fused, frozen = bool(rng.random() < 0.6), not program.updates and bool(rng.random() < 0.3)
    return replace(program, options=Options(fuse=fused, skip=skipped, frozen=frozen))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument(
        "--stop-after", type=int, default=5, help="failures to shrink and print before giving up"
    )
    parser.add_argument("--interpret", action="store_true", help="also in the slow interpreter of kernels")
    parser.add_argument("--longest", type=int, default=18, help="the most lines of a program")
    options = parser.parse_args()
    run = partial(check, interpreted=options.interpret)
    failures, start = 0, time.monotonic()
    for seed in range(options.seed, options.seed + options.count):
        program = generate(seed, options.longest)
        for trial in (program, variant(program)):
            if run(trial):
                failures += 1
                small = shrink(trial, run)
                print(f"\n# seed {seed}: {run(small)}\n{source(small)}", flush=True)
        if failures >= options.stop_after:
            break
        if (seed + 1 - options.seed) % 200 == 0:
            print(f"# {seed + 1 - options.seed} programs, {time.monotonic() - start:.0f} s", flush=True)
    spent = time.monotonic() - start
    print(f"{seed + 1 - options.seed} programs, {failures} failures, {spent:.0f} s")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
