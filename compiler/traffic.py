"""Bytes that a kernel must move between memory and the processor, each read once and written once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from compiler.clusters import Cluster, leaves_behind
from compiler.loop.grammar import Expr, Kernel, Load
from compiler.loop.walk import expressions, postorder, statements, written_buffers
from compiler.lower.access import Memory, Row
from compiler.lower.step import Step
from compiler.memory import bytes_of
from symgraph.dimension import Extent, at_least
from symgraph.graph import Node
from symgraph.op import Kind

Touched = tuple[frozenset[str], frozenset[str]]


def traffic(steps: Sequence[Step]) -> dict[int, Extent]:
    """By the id of a step: what it reads of memory that held something before it, and what it writes.

    A state that is updated in place is both read and written. Of an operand that is seen through a slice,
    or as the table of a gather, only as much is read as there are elements to read.
    """
    known: dict[int, Touched] = {}
    filled: set[Memory] = set()
    found: dict[int, Extent] = {}
    for step in steps:
        if id(step.kernel) not in known:
            known[id(step.kernel)] = _touched(step.kernel)
        loaded, written = (_memories(step, names) for names in known[id(step.kernel)])
        wanted = _wanted(step.cluster)
        before = [m for m in loaded if m in filled or _held_before(m)]
        total: Extent = 0
        for memory in before:
            total = total + _read(memory, wanted)
        for memory in written:
            total = total + _size(memory)
        filled |= written.keys()
        found[id(step)] = total
    return found


def _touched(kernel: Kernel) -> Touched:
    """Names of the buffers that a kernel loads from, and of those that it writes."""
    roots: list[Expr] = [e for s in statements(kernel.body) for e in expressions(s)]
    loaded = frozenset(e.buffer.name for e in postorder(roots) if isinstance(e, Load))
    return loaded, frozenset(written_buffers(kernel))


def _memories(step: Step, names: Iterable[str]) -> dict[Memory, None]:
    """What the buffers of these names live in, each once, in order."""
    wanted = set(names)
    pairs = zip(step.kernel.buffers, step.memories, strict=True)
    return dict.fromkeys(memory for buffer, memory in pairs if buffer.name in wanted)


def _held_before(memory: Memory) -> bool:
    """Whether it holds something when the run begins, or, a loop's row, when the round does."""
    return isinstance(memory, Row) or (isinstance(memory, Node) and memory.op.kind is Kind.SOURCE)


def _size(memory: Memory) -> Extent:
    """A row's own, not those of what it lies in."""
    return memory.size if isinstance(memory, Row) else bytes_of(memory)


def _wanted(cluster: Cluster) -> dict[Node, Extent]:
    """Bytes that the cluster's nodes ask of each value outside, through their views."""
    found: defaultdict[Node, Extent] = defaultdict(int)
    for node in cluster.nodes:
        for place, operand in enumerate(node.inputs):
            table = node.op.kind is Kind.GATHER and place == 0
            elements = node.type.size if table else operand.type.size
            for leaf in leaves_behind(operand):
                found[leaf] = found[leaf] + elements * leaf.type.dtype.itemsize
    return found


def _read(memory: Memory, wanted: dict[Node, Extent]) -> Extent:
    """The whole of it, unless less is asked for at every size of the named dimensions."""
    whole = _size(memory)
    asked = wanted.get(memory) if isinstance(memory, Node) else None
    return asked if asked is not None and at_least(whole, asked) else whole
