"""The register tile that all contractions share: rows x columns results held while the sum runs."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.loop.grammar import (
    Alloc,
    Buffer,
    Expr,
    For,
    If,
    Index,
    Let,
    Load,
    Local,
    Statement,
    Store,
    constant,
)
from compiler.loop.walk import postorder
from compiler.lower.contraction_problem import Writing, loop

# Names of contractions have a dot, so that they meet no named dimension, which is an identifier.
ROW_IN_TILE, LANE = Index("c.row"), Index("c.lane")
PLACE = (ROW_IN_TILE, LANE)


@dataclass(frozen=True, slots=True)
class Registers:
    """rows x columns results, columns in vectors: as many as registers hold."""

    writing: Writing
    rows: int
    columns: int

    @property
    def held(self) -> Buffer:
        return Buffer("c.held", self.writing.dtype, (self.rows, self.columns))

    def zeros(self) -> tuple[Statement, ...]:
        return (Alloc(self.held), self.each(Store(self.held, PLACE, constant(0, self.writing.dtype))))

    def each(self, statement: Statement) -> For:
        """A statement for every result of the tile."""
        across = loop(LANE, self.columns, statement, mode="vector")
        return loop(ROW_IN_TILE, self.rows, across, mode="unroll")

    def spill(self, buffer: Buffer, place: tuple[Expr, ...] = PLACE) -> For:
        """All results stored to memory."""
        return self.each(Store(buffer, place, Load(self.held, PLACE)))

    def resume(self, buffer: Buffer, place: tuple[Expr, ...]) -> For:
        return self.each(Store(self.held, PLACE, Load(buffer, place)))

    def step(self, left: Expr, right: Expr, inside: Expr | None = None) -> tuple[Statement, ...]:
        """held[row, lane] += left * right: one step of the sum.

        `left` depends on the row and, where it belongs to each column, on the lane; `right` on the lane, and
        is read where `inside` holds.
        """
        dtype = self.writing.dtype
        across = Buffer("c.right", dtype, (self.columns,))
        read: Statement = Store(across, (LANE,), right)
        if inside is not None:
            read = If(inside, (read,))
        row = Local("c.a", dtype)
        each = mentions(left, LANE.name)
        factor = left if each else row
        total = self.writing.multiply_add(factor, Load(across, (LANE,)), Load(self.held, PLACE))
        update = loop(LANE, self.columns, Store(self.held, PLACE, total), mode="vector")
        rows = (update,) if each else (Let(row.name, left), update)
        return (
            Alloc(across),
            loop(LANE, self.columns, read, mode="vector"),
            loop(ROW_IN_TILE, self.rows, *rows, mode="unroll"),
        )


def mentions(expr: Expr, name: str) -> bool:
    return any(isinstance(part, (Index, Local)) and part.name == name for part in postorder([expr]))
