"""What is known of a program's kernels before they are emitted: which are equal, which update weights.

Launches share one compiled kernel where their kernels are equal but for their names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass

from compiler.loop.grammar import Buffer, Kernel
from compiler.loop.walk import statements, written_buffers
from compiler.program import Program
from symgraph.dimension import Dim


def distinct_kernels(program: Program) -> tuple[tuple[Kernel, ...], tuple[int, ...]]:
    """Each kernel that must be compiled, and for every launch the index of its kernel among them."""
    different = {id(launch.kernel): launch.kernel for launch in program.launches}
    outlines = Counter(map(_outline, different.values()))
    numbers: dict[object, int] = {}
    known: dict[int, int] = {}
    kernels: list[Kernel] = []
    for kernel in different.values():
        # The exact key costs as much as emitting the kernel; one that looks like no other needs none.
        outline = _outline(kernel)
        key = outline if outlines[outline] == 1 else _Canonical(kernel).key
        if key not in numbers:
            numbers[key] = len(kernels)
            kernels.append(kernel)
        known[id(kernel)] = numbers[key]
    return tuple(kernels), tuple(known[id(launch.kernel)] for launch in program.launches)


def _outline(kernel: Kernel) -> object:
    """What equal kernels have in common and different ones rarely do; cheap."""
    buffers = tuple((buffer.dtype.str, len(buffer.shape)) for buffer in kernel.buffers)
    return len(kernel.extents), buffers, tuple(type(s).__name__ for s in statements(kernel.body))


def updates_weights(program: Program) -> bool:
    """Whether a launch writes into a weight."""
    for run in program.runs:
        places = dict(zip((b.name for b in run.kernel.buffers), run.places, strict=True))
        memories = {name: program.memories_of(place) for name, place in places.items()}
        weights = {name for name, behind in memories.items() if any(m.kind == "weight" for m in behind)}
        if weights and weights & written_buffers(run.kernel):
            return True
    return False


class _Canonical:
    """A hashable key of a kernel, in which names of buffers, extents, indices and locals are numbers.

    Every distinct piece of the kernel becomes one row of a table that refers to earlier rows, so shared
    subexpressions cost once. Names are numbered in the order in which the walk meets them.
    """

    def __init__(self, kernel: Kernel):
        self._names: dict[str, int] = {}
        self._rows: dict[object, int] = {}
        self._done: dict[int, int] = {}
        for name in kernel.extents:
            self._name(name)
        parameters = tuple(self._leaf(buffer) for buffer in kernel.buffers)
        body = self._walk(kernel.body)
        self.key = (len(kernel.extents), parameters, body, tuple(self._rows))

    def _walk(self, root: object) -> object:
        """Post-order without recursion: a body may nest and an expression may chain thousands deep."""
        stack: list[tuple[object, bool]] = [(root, False)]
        while stack:
            item, ready = stack.pop()
            if id(item) in self._done:
                continue
            parts = _parts(item)
            if ready:
                self._finish(item, parts)
                continue
            self._number_binder(item)
            stack.append((item, True))
            stack.extend((part, False) for part in reversed(parts) if _is_compound(part))
        return self._done[id(root)]

    def _number_binder(self, item: object) -> None:
        for attribute in ("index", "name"):
            name = getattr(item, attribute, None)
            if isinstance(name, str) and is_dataclass(item):
                self._name(name)

    def _finish(self, item: object, parts: tuple[object, ...]) -> None:
        row = (
            type(item).__name__,
            *(self._done[id(p)] if _is_compound(p) else self._leaf(p) for p in parts),
            *self._own_names(item),
        )
        self._done[id(item)] = self._rows.setdefault(row, len(self._rows))

    def _own_names(self, item: object) -> tuple[object, ...]:
        names = (getattr(item, attribute, None) for attribute in ("index", "name"))
        return tuple(self._names[name] for name in names if isinstance(name, str))

    def _leaf(self, value: object) -> object:
        if isinstance(value, Buffer):
            return ("buffer", self._name(value.name), value.dtype.str, tuple(map(self._extent, value.shape)))
        if isinstance(value, float):
            return ("float", value.hex())
        return (type(value).__name__, str(value))

    def _extent(self, extent: object) -> object:
        if not isinstance(extent, Dim):
            return extent
        return tuple(sorted((tuple(sorted(map(self._name, m))), factor) for m, factor in extent.terms))

    def _name(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))


def _parts(item: object) -> tuple[object, ...]:
    if isinstance(item, tuple):
        return item
    assert is_dataclass(item)
    return tuple(getattr(item, f.name) for f in fields(item) if f.name not in ("index", "name"))


def _is_compound(value: object) -> bool:
    return isinstance(value, tuple) or (is_dataclass(value) and not isinstance(value, Buffer))
