"""Fused kernels whose lanes run along a kept axis: batch norm, gradients of biases, sums over rows.

    for each block of columns (shared among threads)
        sweep all rows: compute, store, accumulate into one accumulator a column
        statistics of the columns                      as often as statistics depend on statistics

Whole rows or wide blocks: narrow ones waste pages and the prefetcher. Where rows come from memory, threads
share the rows instead: column_parts.py.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.clusters import Cluster
from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Const,
    Expr,
    For,
    If,
    Load,
    Mode,
    Statement,
    Store,
    binary,
    index,
)
from compiler.loop.walk import expressions, postorder, statements
from compiler.lower.access import ZERO, Home, Scratch, place
from compiler.lower.column_sums import BLOCK_OF_COLUMNS, ColumnSums
from compiler.lower.fused import accumulate_into
from compiler.lower.nest import nested
from compiler.lower.sweeps import Sweep, plan_sweeps
from symgraph.graph import Node
from symgraph.types import int64


class Columns(ColumnSums):
    """Writes the kernel of a loop cluster by blocks of columns."""

    def __init__(self, cluster: Cluster, home: Home, axes: tuple[int, ...]):
        super().__init__(cluster, home, axes)
        self.plan = plan_sweeps(cluster, frozenset(), waiting=True)
        self.kept: dict[Node, Scratch] = {}

    def body(self) -> tuple[Statement, ...]:
        return without_unread((self.in_blocks(nested(self.outer, self._block(), vector=False), "parallel"),))

    def in_blocks(self, inside: tuple[Statement, ...], mode: Mode) -> For:
        """`inside` for every block of columns."""
        blocks = binary("div", index(self.column.extent + (self.width - 1)), Const(self.width, int64))
        return For(BLOCK_OF_COLUMNS.name, ZERO, blocks, inside, mode=mode)

    def _block(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for number, sweep in enumerate(self.plan.sweeps):
            statements.extend(self.statistics(sweep.statistics))
            statements.extend(self.sweep(sweep, number))
        statements.extend(self.statistics(self.plan.final))
        return (*self.arrays, *statements, *self.results())

    def results(self) -> list[Statement]:
        """Stores of the columns' own values, after all else: one may overwrite a state that is read."""
        stores = tuple(self.store(n, self.known[n]) for n in self.cluster.stored if n in self.known)
        return [self.along(stores)] if stores else []

    def memory_of(self, node: Node) -> Scratch:
        """Where a value stays from one sweep to another."""
        if node not in self.kept:
            self.kept[node] = Scratch(self.cluster.domain, node.type.dtype)
        return self.kept[node]

    def statistics(self, nodes: tuple[Node, ...]) -> list[Statement]:
        """The columns' own values, each computed once, kept for the sweeps that follow."""
        body: list[Statement] = []
        arrays: dict[Node, Expr] = {}
        for node in nodes:
            value = self.known[node] if node in self.known else self.bind(node, body)
            if not isinstance(value, Load):
                buffer, indices = self.array(node.type.dtype)
                body.append(Store(buffer, indices, value))
                arrays[node] = Load(buffer, indices)
        self.known.update(arrays)
        return [self.along(tuple(body))] if body else []

    def sweep(self, sweep: Sweep, number: int) -> list[Statement]:
        """One sweep of the rows at hand; then the results of its reductions are known."""
        for node in self.plan.spilled:
            memory = self.memory_of(node)
            self.spill[node] = lambda m=memory: place(self.buffers, m, list(self.position))
        totals = [self.total(reduction) for reduction in sweep.reductions]
        adders = [(t.reduction, accumulate_into(t.rows, (), t.reduction)) for t in totals]
        body = self.element(sweep, self.plan, number, adders)
        self.known.update({t.reduction: Load(*t.result) for t in totals})
        return self.over_rows(body, totals, writes=bool(sweep.stores)) if body else []


def without_unread(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The body without scratch that nothing reads: most statistics are used where they are computed."""
    read: set[str] = set()
    own: set[str] = set()
    for statement in statements(body):
        read.update(e.buffer.name for e in postorder(expressions(statement)) if isinstance(e, Load))
        if isinstance(statement, Accumulate):
            read.add(statement.buffer.name)
        elif isinstance(statement, Alloc):
            own.add(statement.buffer.name)
    return _without(body, own - read)


def _without(body: tuple[Statement, ...], gone: set[str]) -> tuple[Statement, ...]:
    kept: list[Statement] = []
    for statement in body:
        if isinstance(statement, (For, If)):
            statement = replace(statement, body=_without(statement.body, gone))
        if not (isinstance(statement, (Alloc, Store)) and statement.buffer.name in gone):
            kept.append(statement)
    return tuple(kept)
