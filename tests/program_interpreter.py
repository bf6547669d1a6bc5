"""Running a whole Program through the slow kernel interpreter: memory as the entry point would give it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compiler.loop.interpreter import interpret
from compiler.loop.walk import written_buffers
from compiler.program import Group, Launch, Place, Program
from symgraph.dimension import evaluate
from symgraph.types import FLOATS

# Bytes of a signalling-looking NaN and of a large negative int: what is read before it is written shows.
POISON = 0xFA


def interpret_program(
    program: Program,
    inputs: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    *,
    lanes: int = 4,
    reverse: bool = True,
) -> list[np.ndarray]:
    """The outputs. `weights` are read and, where the program updates state, written.

    Vector loops run `lanes` iterations together and parallel loops backwards, so that a wrong mode shows.
    """
    sizes = _sizes(program, inputs)
    memory: dict[Place, np.ndarray] = {}
    for number, array in enumerate(inputs):
        memory[Place("input", number)] = _flat(array)
    for number, array in enumerate(weights):
        memory[Place("weight", number)] = _flat(array)
    for number, slot in enumerate(program.slots):
        size = max(evaluate(extent, sizes) for extent in slot.sizes)
        memory[Place("arena", number)] = np.full(size, POISON, np.uint8)
    outputs = []
    for number, argument in enumerate(program.outputs):
        shape = tuple(evaluate(extent, sizes) for extent in argument.type.shape)
        outputs.append(np.full(shape, np.nan if argument.type.dtype in FLOATS else 1, argument.type.dtype))
        memory[Place("output", number)] = _flat(outputs[-1])
    with np.errstate(all="ignore"):
        for launch in in_turn(program, reverse, sizes, memory):
            extents = [evaluate(extent, sizes) for extent in launch.extents]
            known = dict(zip(launch.kernel.extents, extents, strict=True))
            arrays = []
            for buffer, place in zip(launch.kernel.buffers, launch.places, strict=True):
                shape = tuple(evaluate(extent, known) for extent in buffer.shape)
                count = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.itemsize
                assert count <= memory[place].nbytes, f"{buffer} does not fit into {place}"
                arrays.append(memory[place][:count].view(buffer.dtype).reshape(shape))
            interpret(launch.kernel, arrays, extents, lanes=lanes, reverse=reverse)
    return outputs


def in_turn(
    program: Program, reverse: bool, sizes: Mapping[str, int], memory: dict[Place, np.ndarray]
) -> Iterator[Launch]:
    """Every run in order, with the rows that it runs on put into `memory`."""
    _place_rows(program, None, 0, sizes, memory)
    yield from _part(program, 0, len(program.launches), len(program.repeats), reverse, sizes, memory)


def _part(
    program: Program, start: int, stop: int, inner: int, reverse: bool, sizes: Mapping[str, int],
    memory: dict[Place, np.ndarray],
) -> Iterator[Launch]:
    """Launches [start, stop); repeats among them have numbers below `inner`."""
    position = start
    while position < stop:
        here = [n for n, r in enumerate(program.repeats[:inner]) if r.first == position and r.last <= stop]
        if not here:
            yield from _group(program.launches[position], reverse)
            position += 1
            continue
        repeat = program.repeats[here[-1]]
        count = evaluate(repeat.length, sizes)
        for step in reversed(range(count)) if repeat.reverse else range(count):
            _place_rows(program, here[-1], step, sizes, memory)
            yield from _part(program, repeat.first, repeat.last, here[-1], reverse, sizes, memory)
        position = repeat.last


def _place_rows(
    program: Program, repeat: int | None, step: int, sizes: Mapping[str, int], memory: dict[Place, np.ndarray]
) -> None:
    for number, row in enumerate(program.rows):
        if row.repeat == repeat:
            at = evaluate(row.offset, sizes) + evaluate(row.stride, sizes) * step
            bases = [memory[base] for base in row.bases]
            memory[Place("row", number)] = bases[0][at:] if len(bases) == 1 else bases[at % 2]


def _group(launch: Launch | Group, reverse: bool) -> list[Launch]:
    """The runs of one launch, those of a group backwards if wanted: they must not touch what others write."""
    for run in launch.runs:
        names = written_buffers(run.kernel)
        pairs = zip(run.kernel.buffers, run.places, strict=True)
        written = {place for buffer, place in pairs if buffer.name in names}
        others = {place for other in launch.runs if other is not run for place in other.places}
        assert not written & others, f"{run.kernel.name} writes what another of its group touches"
    return list(reversed(launch.runs) if reverse else launch.runs)


def _flat(array: np.ndarray) -> np.ndarray:
    """The array's own bytes."""
    assert array.flags.c_contiguous
    return array.reshape(-1).view(np.uint8)


def _sizes(program: Program, inputs: Sequence[np.ndarray]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for argument, array in zip(program.inputs, inputs, strict=True):
        for extent, size in zip(argument.type.shape, array.shape, strict=True):
            if not isinstance(extent, int) and str(extent) in program.dims:
                sizes[str(extent)] = size
    return sizes
