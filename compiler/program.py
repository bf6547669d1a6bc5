"""A whole compiled function before it is native: kernels, the order they run in, where their bytes live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from symgraph.dimension import Extent
from symgraph.types import TensorType

if TYPE_CHECKING:
    from compiler.loop.grammar import Kernel


@dataclass(frozen=True, slots=True)
class Argument:
    """One input, output or weight; names are the user's and may hold any character."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Place:
    """Where a buffer lives: the index counts inputs, outputs, weights, slots of the arena, or rows."""

    kind: Literal["input", "output", "weight", "arena", "row"]
    index: int


@dataclass(frozen=True, slots=True)
class Row:
    """A place that may move: with n = offset + stride * t, it is n bytes behind the only base; or it is the
    base of number n mod 2, where two are used in turn.

    t counts the steps of repeat number `repeat`, down from the last where that is reversed. The place is
    found anew in each step; None: once a run, the stride being 0. Bases that are rows have smaller numbers.
    """

    bases: tuple[Place, ...]
    offset: Extent
    stride: Extent
    repeat: int | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of the arena, 64-byte aligned, as large as the largest of `sizes` (bytes)."""

    sizes: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """One run of a kernel: a place for each of its buffers, a size for each of its extents.

    Launches with equal kernels share the native code.
    """

    kernel: Kernel
    places: tuple[Place, ...]
    extents: tuple[Extent, ...]

    @property
    def runs(self) -> tuple[Launch, ...]:
        return (self,)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one kernel none of which touches what another writes: in any order, or at once on threads.

    An extent that is not an int is the same for all of them.
    """

    runs: tuple[Launch, ...]

    def __post_init__(self) -> None:
        named = {tuple(e for e in run.extents if not isinstance(e, int)) for run in self.runs}
        if len(named) != 1 or len({id(run.kernel) for run in self.runs}) != 1:
            raise ValueError("a group's runs must have one kernel and the same named extents")

    @property
    def kernel(self) -> Kernel:
        return self.runs[0].kernel


@dataclass(frozen=True, slots=True)
class Repeat:
    """Launches [first, last) run `length` times. Repeats lie inside each other or apart, inner ones first."""

    first: int
    last: int
    length: Extent
    reverse: bool


@dataclass(frozen=True, slots=True)
class Check:
    """After launch number `launch` the int32 at `place` must be 0, else the run ends with an index error.

    States are written only by launches after the last check.
    """

    launch: int
    place: Place


@dataclass(frozen=True, slots=True)
class Program:
    """`dims` are the named dimensions in order of first appearance in inputs, then outputs.

    Weights are parameters, state and constant arrays: memory outside the program that launches read
    and, where the program updates state, write.
    """

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    weights: tuple[Argument, ...]
    dims: tuple[str, ...]
    slots: tuple[Slot, ...]
    launches: tuple[Launch | Group, ...]
    checks: tuple[Check, ...] = ()
    rows: tuple[Row, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    # Extents of values in between that are negative for some sizes: a window larger than its axis.
    extents: tuple[Extent, ...] = ()

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Each distinct kernel once, in order of first launch."""
        return tuple(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def runs(self) -> tuple[Launch, ...]:
        """All runs of kernels, those of groups one after another."""
        return tuple(run for launch in self.launches for run in launch.runs)

    def memories_of(self, place: Place) -> tuple[Place, ...]:
        """The places that are no rows and that this one lies in."""
        if place.kind != "row":
            return (place,)
        return tuple(memory for base in self.rows[place.index].bases for memory in self.memories_of(base))
