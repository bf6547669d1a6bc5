"""Column kernels of many rows from memory: the rows in a fixed number of parts, which threads share.

    for each sweep, a kernel of its own:
        for each part of the rows (shared among threads)
            the columns' statistics so far, from the partial results of the sweeps before
            sweep the part's rows: compute, store, accumulate into partial results of its own
    the columns' results: by part 0 of the last sweep, else in a small kernel at the end

The partial results are combined in pairs, so what they are does not depend on how many threads there are.
That every part combines them again costs less than to wait for one that does it for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from compiler.clusters import Cluster
from compiler.loop.grammar import Binary, Const, Expr, For, If, Index, Load, Statement, Store, binary, index
from compiler.loop.walk import expressions, postorder, statements
from compiler.lower.access import ZERO, Buffers, Home, Scratch, place
from compiler.lower.column_sums import IN_CACHE, ROWS_READ, WIDEST_BLOCK
from compiler.lower.columns import Columns, without_unread
from compiler.lower.fused import Target
from compiler.lower.nest import Group, nested
from compiler.lower.sweeps import Sweep, members_read
from symgraph.dimension import product, typical
from symgraph.graph import Node
from symgraph.types import int64

PARTS = 16
LEAST_ROWS = 16  # of a part
PART = Index("i.part")

Body = tuple[Statement, ...]


def column_kernels(cluster: Cluster, home: Home, axes: tuple[int, ...]) -> list[tuple[Buffers, Body]]:
    """The kernels of a cluster that reduces columns, in the order they run, each with its buffers."""
    whole = Columns(cluster, home, axes)
    if not _from_memory(whole):
        body = whole.body()
        return [(whole.buffers, body)]
    *sweeps, last = whole.plan.sweeps
    shared = Shared()

    def part() -> Part:
        return Part(cluster, home, axes, shared)

    kernels = [part().kernel(sweep, number) for number, sweep in enumerate(sweeps)]
    if not last.reductions:
        writer = part()
        finished = writer.kernel(last, len(sweeps), finishing=True)
        if not _overwrites(*finished):
            return [*kernels, finished]
    return [*kernels, part().kernel(last, len(sweeps)), part().results_kernel()]


def _from_memory(columns: Columns) -> bool:
    """Whether the domain leaves the cache, and has rows for all parts. A named dimension counts as 64."""
    blocks = typical(columns.column.extent) / WIDEST_BLOCK
    large = typical(product(columns.cluster.domain)) > IN_CACHE
    return large and typical(columns.rows) >= LEAST_ROWS * PARTS and blocks < PARTS


def _overwrites(buffers: Buffers, body: Body) -> bool:
    """Whether what part 0 stores at its end is memory that other parts may still read: a state."""
    memory = {b.name: m for b, m in zip(buffers.buffers, buffers.memories, strict=True)}
    every = list(statements(body))
    late = [s for end in every if isinstance(end, If) for s in statements(end.body)]
    stored = {memory[s.buffer.name] for s in late if isinstance(s, Store) and s.buffer.name in memory}
    early = [s for s in every if not any(s is other for other in late)]
    read = {e.buffer.name for s in early for e in postorder(expressions(s)) if isinstance(e, Load)}
    return any(memory[name] in stored for name in read if name in memory)


@dataclass(slots=True)
class Shared:
    """What the kernels of the sweeps leave in memory for each other."""

    partial: dict[Node, Scratch] = field(default_factory=dict)
    kept: dict[Node, Scratch] = field(default_factory=dict)


class Part(Columns):
    """Writes the kernel of one sweep over all parts, or that of the results."""

    def __init__(self, cluster: Cluster, home: Home, axes: tuple[int, ...], shared: Shared):
        super().__init__(cluster, home, axes)
        self.kept, self.partial = shared.kept, shared.partial
        every = self.rows
        self.rows = -(-every // PARTS) if isinstance(every, int) else every

    def kernel(self, sweep: Sweep, number: int, *, finishing: bool = False) -> tuple[Buffers, Body]:
        """One sweep. With `finishing` part 0 also stores the columns' results, if none is added to."""
        wanted = [leaf for n in sweep.compute if not self._is_kept(n, number) for leaf in self._behind(n)]
        found = self.statistics(self._own((*wanted, *self._behind(*sweep.reductions))))
        inside = [*found, *self.sweep(sweep, number), *self._leave(sweep.reductions)]
        end = self._results() if finishing else []
        if end:
            inside.append(If(Binary("eq", PART, ZERO), tuple(end)))
        body = self.in_blocks(nested(self.outer, (*self.arrays, *inside), vector=False), "serial")
        parts = For(PART.name, ZERO, Const(PARTS, int64), (body,), mode="parallel")
        return self.buffers, without_unread((parts,))

    def results_kernel(self) -> tuple[Buffers, Body]:
        """The columns' results alone, once all partial results are there."""
        results = self._results()
        body = nested(self.outer, (*self.arrays, *results), vector=False)
        return self.buffers, without_unread((self.in_blocks(body, "parallel"),))

    def _results(self) -> list[Statement]:
        own = (n for n in self.cluster.stored if not self.cluster.covers(n))
        return [*self.statistics(self._own(own)), *self.results()]

    def _is_kept(self, node: Node, number: int) -> bool:
        """Whether a sweep before left the node's value in memory."""
        return self.plan.level[node] < number and (node in self.plan.spilled or node in self.cluster.stored)

    def _behind(self, *nodes: Node) -> list[Node]:
        return [leaf for node in nodes for leaf in members_read(self.cluster, node)]

    def _own(self, roots: Iterable[Node]) -> tuple[Node, ...]:
        """The columns' own values among and behind `roots`, in order. Reductions are in memory."""
        found: set[Node] = set()
        stack = [node for node in roots if not self.cluster.covers(node)]
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                stack.extend(() if node in self.cluster.reductions else self._behind(node))
        return tuple(n for n in self.cluster.nodes if n in found and n not in self.known)

    def _partial_place(self, reduction: Node, part: Expr) -> Target:
        if reduction not in self.partial:
            self.partial[reduction] = Scratch((PARTS, *reduction.type.shape), reduction.type.dtype)
        return place(self.buffers, self.partial[reduction], [part, *self.position_of(reduction)])

    def _leave(self, reductions: tuple[Node, ...]) -> list[Statement]:
        """A part's own results, for the kernels that follow."""
        stores = tuple(Store(*self._partial_place(r, PART), self.known[r]) for r in reductions)
        return [self.along(stores)] if stores else []

    def formula(self, node: Node) -> Expr:
        """A reduction of a sweep before is what its parts make in pairs."""
        if node not in self.cluster.reductions:
            return super().formula(node)
        op = "mul" if node.op.body == "multiply" else str(node.op.body)
        terms: list[Expr] = [Load(*self._partial_place(node, Const(part, int64))) for part in range(PARTS)]
        while len(terms) > 1:
            terms = [binary(op, x, y) for x, y in zip(terms[::2], terms[1::2], strict=True)]
        return terms[0]

    def bounds(self, group: Group) -> tuple[Expr, Expr]:
        """The part's share of the first reduced group, in whole steps of rows; all of the others."""
        start, stop = super().bounds(group)
        if group is not self.reduced[0]:
            return start, stop
        step = ROWS_READ if len(self.reduced) == 1 else 1
        share = binary("div", index(group.extent + (step * PARTS - 1)), Const(step * PARTS, int64))
        size = binary("mul", share, Const(step, int64))
        first = binary("minimum", binary("mul", PART, size), stop)
        return first, binary("minimum", binary("add", first, size), stop)
