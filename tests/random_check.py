"""Is a random program compiled right? And if not, what is the smallest one that is wrong the same way?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.driver import Compiled, compile_graph, weight_array
from compiler.passes import drop_removed_bias
from symgraph.dimension import evaluate
from symgraph.types import FLOATS, float32, float64
from tests import oracle
from tests.agreement import different_masks, disagreement, meets_spaced_zeros
from tests.program_interpreter import interpret_program
from tests.random_program import (
    Leaf,
    Line,
    Program,
    Written,
    eager_results,
    input_arrays,
    plain,
    write,
)

NOISE = {float32: 2.0**-21, float64: 2.0**-50}
# In the interpreter an element costs some hundred microseconds.
MOST_INTERPRETED = 3000


def check(program: Program, interpreted: bool = False) -> str:
    """What is wrong with the compiled program, or "". With `interpreted`, its kernels also run in the slow
    interpreter, which sees every access out of bounds and every read of what was never written."""
    try:
        written = write(program)
        labels = [label for label in written.labels if not label.startswith("update")]
        compiled = compile_graph(written.graph, "f", labels, program.options, threads=program.threads)
        for sizes in program.sizes:
            arrays = input_arrays(program, sizes)
            wrong = _check_call(program, written, compiled, arrays, called(written, compiled, arrays))
            if wrong:
                return f"{dict(sizes)}: {wrong}"
            if interpreted and _is_small(program, sizes):
                found = _interpreted(program, written, compiled, arrays)
                wrong = _check_call(program, written, compiled, arrays, found)
                if wrong:
                    return f"{dict(sizes)}, interpreted: {wrong}"
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


def _is_small(program: Program, sizes: Mapping[str, int]) -> bool:
    counts = [evaluate(kind.size, sizes) for kind in program.types().values()]
    if 0 in sizes.values() or 0 in counts:
        return False  # no native code, or reads of an empty value whose result is thrown away
    total = sum(counts)
    return total * (3 if program.wanted else 1) <= MOST_INTERPRETED


def _interpreted(
    program: Program, written: Written, compiled: Compiled, arrays: list[np.ndarray]
) -> dict[str, np.ndarray]:
    lowered = compiled.lowered
    states = {
        node.attrs["state"].name: i for i, node in enumerate(lowered.memory.weights) if "state" in node.attrs
    }
    weights = [weight_array(node).copy() for node in lowered.memory.weights]
    outputs = interpret_program(lowered.program, arrays, weights)
    found = dict(zip(written.labels, outputs, strict=False))
    for name, _ in program.updates:
        found[f"update of {name}"] = weights[states[name]]
    return found


def _check_call(
    program: Program,
    written: Written,
    compiled: Compiled,
    arrays: list[np.ndarray],
    got: Mapping[str, np.ndarray],
) -> str:
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
    # A product of many numbers may leave the range of float32 on the way in one order and not in another.
    steady = np.isfinite(exact) & np.isfinite(eager) & np.all([np.isfinite(run) for run in noisy], axis=0)
    spread = np.max([np.abs(run - exact)[steady] for run in noisy], axis=0)
    return disagreement(got[steady], eager[steady], exact[steady], precision=precision, spread=spread)


def _check_special(program: Program, written: Written, compiled: Compiled, arrays: list[np.ndarray]) -> str:
    """NaN and infinities stand where the eager world has them, if the range of float32 plays no part."""
    got = called(written, compiled, arrays)
    eager = eager_results(program, arrays)
    wide = eager_results(program, arrays, wide=True)
    # A loop's backward steps begin with an adjoint of zero where the tape has none, and 0 * inf is NaN.
    loops = any("sg.scan" in line.text for line in program.lines)
    pairs = zip(written.labels, compiled.lowered.derived.results, strict=False)
    spaced = {label for label, result in pairs if meets_spaced_zeros(result)}
    for label in written.labels:
        excused = (loops and "gradient" in label) or (label.startswith("gradient") and _drops_bias(compiled))
        excused = excused or label in spaced
        if eager[label].dtype in FLOATS and not excused:
            same = _kinds(eager[label]) == _kinds(wide[label])
            wrong = different_masks(got[label][same], eager[label][same])
            if wrong:
                return f"{label}: {wrong}"
    return ""


def _drops_bias(compiled: Compiled) -> bool:
    """Whether a bias was dropped: its gradient is 0, even where it is NaN."""
    made = (node.origin for node in compiled.lowered.derived.nodes if node.origin is not None)
    return any(origin.maker == drop_removed_bias.MAKER for origin in made)


def _kinds(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), 3, np.where(np.isposinf(x), 1, np.where(np.isneginf(x), 2, 0)))


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
        write(program)
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
    operands = {line.name: line.operands for line in program.lines}
    for field in ("outputs", "losses"):
        names: tuple[str, ...] = getattr(program, field)
        for i, name in enumerate(names):
            for operand in operands.get(name, ()):
                yield replace(program, **{field: (*names[:i], operand, *names[i + 1 :])}).trimmed()
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
