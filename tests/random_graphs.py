"""Random programs against three oracles: the eager world, float64, and themselves under other passes.

    python -m tests.random_graphs --count 1000 --seed 0

runs more of them than the suite does; a failure is shrunk and printed as a small script.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import symgraph as sg
from compiler.driver import Compiled, Options, compile_graph
from compiler.pipeline import REQUIRED, passes
from symgraph.dimension import Dim, evaluate
from symgraph.errors import GradientError, SymgraphError
from symgraph.types import FLOATS, TensorType, float32, float64
from tests import oracle
from tests.agreement import different_masks, disagreement
from tests.random_program import (
    Leaf,
    Line,
    Program,
    Written,
    eager_results,
    input_arrays,
    plain,
    results_of,
    source,
    write,
)
from tests.random_rules import DIMS, RULES, Growing

LARGEST_VALUE, LARGEST_SIZE = 1e3, 6000
NOISE = {float32: 2.0**-21, float64: 2.0**-50}
OPTIONAL = tuple(name for name, _ in passes(training=False, frozen=False) if name not in REQUIRED)


# --- making -------------------------------------------------------------------------------------


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
    losses = tuple(dict.fromkeys((floats[-1], *(n for n in ends if n in floats), g.one_of(floats))))
    wanted = tuple(leaf.name for leaf in program.leaves if leaf.type.dtype in FLOATS)
    trial = replace(program, losses=losses, wanted=wanted, second=g.chance(0.12))
    return _differentiable(trial) or _differentiable(replace(trial, second=False)) or program


def _differentiable(program: Program) -> Program | None:
    wanted = [name for name in program.wanted if _has_gradient(replace(program, wanted=(name,)))]
    program = replace(program, wanted=tuple(wanted[-3:]))
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
    return replace(program, options=Options(fuse=bool(rng.random() < 0.4), skip=skipped))


# --- checking -----------------------------------------------------------------------------------


def check(program: Program) -> str:
    """What is wrong with the compiled program, or ""."""
    try:
        written = write(program)
        labels = [label for label in written.labels if not label.startswith("update")]
        compiled = compile_graph(written.graph, "f", labels, program.options, threads=program.threads)
        for sizes in program.sizes:
            wrong = _check_call(program, written, compiled, input_arrays(program, sizes))
            if wrong:
                return f"{dict(sizes)}: {wrong}"
            if program.seed % 4 == 0:
                wrong = _check_special(program, written, compiled, input_arrays(program, sizes, special=True))
                if wrong:
                    return f"{dict(sizes)}, exceptional values: {wrong}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def called(written: Written, compiled: Compiled, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs, and what became of the states, which then get their old values back."""
    before = {name: state.numpy() for name, state in written.states.items()}
    inputs = [a.copy() for a in arrays]
    result = compiled.native(*arrays)
    outputs = result if isinstance(result, tuple) else (result,)
    found = dict(zip(written.labels, outputs, strict=False))
    updated = {label.removeprefix("update of ") for label in written.labels if label.startswith("update")}
    for name, state in written.states.items():
        if name in updated:
            found[f"update of {name}"] = state.numpy()
        elif not np.array_equal(state.data, before[name]):
            raise AssertionError(f"state {name} was changed, but has no update")
        state.assign(before[name])
    for array, copy in zip(arrays, inputs, strict=True):
        if not np.array_equal(array, copy, equal_nan=array.dtype in FLOATS):
            raise AssertionError("an input was written")
    return found


def _check_call(program: Program, written: Written, compiled: Compiled, arrays: list[np.ndarray]) -> str:
    got = called(written, compiled, arrays)
    eager = eager_results(program, arrays)
    graph = compiled.lowered.derived
    coarse = any(kind.dtype == float32 for kind in program.types().values())
    exact = dict(zip(written.labels, oracle.run(graph, arrays), strict=True))
    noise = NOISE[float32 if coarse else float64]
    noisy = [oracle.run(graph, arrays, noise=noise, rng=np.random.default_rng(i)) for i in range(4)]
    for number, label in enumerate(written.labels):
        runs = [values[number] for values in noisy]
        wrong = _compare(got[label], eager[label], exact[label], runs, coarse)
        if wrong:
            return f"{label}: {wrong}"
    return ""


def _compare(
    got: np.ndarray, eager: np.ndarray, exact: np.ndarray, noisy: list[np.ndarray], coarse: bool
) -> str:
    """Elements that rounding alone can turn into NaN or another integer are not compared."""
    precision = float32 if coarse else None
    if got.shape != eager.shape or got.shape != exact.shape or got.dtype.kind != "f":
        steady = np.all([run == exact for run in noisy], axis=0) if got.shape == exact.shape else ...
        return disagreement(got[steady], eager[steady], exact[steady])
    steady = np.isfinite(exact) & np.all([np.isfinite(run) for run in noisy], axis=0)
    spread = np.max([np.abs(run - exact)[steady] for run in noisy], axis=0)
    return disagreement(got[steady], eager[steady], exact[steady], precision=precision, spread=spread)


def _check_special(program: Program, written: Written, compiled: Compiled, arrays: list[np.ndarray]) -> str:
    """NaN and infinities stand where the eager world has them, if the range of float32 plays no part."""
    got = called(written, compiled, arrays)
    eager = eager_results(program, arrays)
    wide = eager_results(program, arrays, wide=True)
    for label in written.labels:
        if eager[label].dtype in FLOATS:
            same = _kinds(eager[label]) == _kinds(wide[label])
            wrong = different_masks(got[label][same], eager[label][same])
            if wrong:
                return f"{label}: {wrong}"
    return ""


def _kinds(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), 3, np.where(np.isposinf(x), 1, np.where(np.isneginf(x), 2, 0)))


# --- shrinking ----------------------------------------------------------------------------------


def shrink(program: Program, failing: Callable[[Program], str] = check) -> Program:
    """Drop results, lines and options while the program still fails."""
    while True:
        for smaller in _smaller(program):
            if smaller != program and _is_sound(smaller) and failing(smaller):
                program = smaller
                break
        else:
            return program


def _is_sound(program: Program) -> bool:
    """Whether the program means something: dropping lines may have cut a gradient off."""
    try:
        for sizes in program.sizes:
            eager_results(program, input_arrays(program, sizes))
    except (ValueError, TypeError):
        return False
    return True


def _smaller(program: Program) -> Iterator[Program]:
    for field in ("wanted", "outputs", "losses", "updates", "sizes"):
        items: tuple[Any, ...] = getattr(program, field)
        least = 1 if field == "sizes" or (field == "losses" and program.wanted) else 0
        for i in range(len(items)):
            if len(items) > least:
                yield replace(program, **{field: items[:i] + items[i + 1 :]}).trimmed()
    for i, name in enumerate(program.outputs):
        for operand in next((line.operands for line in program.lines if line.name == name), ()):
            yield replace(program, outputs=(*program.outputs[:i], operand, *program.outputs[i + 1 :])).trimmed()
    if program.second:
        yield replace(program, second=False)
    for name in sorted(program.options.skip):
        yield replace(program, options=replace(program.options, skip=program.options.skip - {name}))
    if not program.options.fuse:
        yield replace(program, options=replace(program.options, fuse=True))
    for number, line in enumerate(program.lines):
        yield from _without_line(program, number, line)


def _without_line(program: Program, number: int, line: Line) -> Iterator[Program]:
    """One of its operands in its place, or a new input."""
    types = program.types()
    before, after = program.lines[:number], program.lines[number + 1 :]
    for operand in line.operands:
        if types[operand] == line.type and line.text != operand:
            yield replace(program, lines=(*before, replace(line, text=operand), *after)).trimmed()
    if plain(line.type.shape):
        leaf = Leaf(line.name, "input", line.type, 2)
        yield replace(program, leaves=(*program.leaves, leaf), lines=(*before, *after)).trimmed()


# --- the command --------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--stop-after", type=int, default=5, help="failures to shrink and print before giving up")
    parser.add_argument("--longest", type=int, default=18, help="the most lines of a program")
    options = parser.parse_args()
    failures, start = 0, time.monotonic()
    for seed in range(options.seed, options.seed + options.count):
        program = generate(seed, options.longest)
        for trial in (program, variant(program)):
            if check(trial):
                failures += 1
                small = shrink(trial)
                print(f"\n# seed {seed}: {check(small)}\n{source(small)}", flush=True)
        if failures >= options.stop_after:
            break
    spent = time.monotonic() - start
    print(f"{seed + 1 - options.seed} programs, {failures} failures, {spent:.0f} s")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
