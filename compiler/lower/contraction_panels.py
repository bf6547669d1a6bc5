"""The right operand of a contraction copied into panels, which the register tiles read from end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from compiler.loop.grammar import Buffer, Expr, Index, Let, Local, Statement, Store, extent_expr, index
from compiler.lower.contraction_blocks import power_of_two, round_up
from compiler.lower.contraction_problem import (
    Indices,
    KernelStep,
    Writing,
    ceiling,
    loop,
    smaller,
    unflatten,
)
from compiler.lower.contraction_registers import LANE
from symgraph.dimension import Extent, Shape, product
from symgraph.types import int64

TASK, DEPTH, BLOCK, TURNED, COLUMN = (
    Index(name) for name in ("c.task", "c.k", "c.k0", "c.turned", "c.n0")
)
OUTER, INNER, PANEL = (Local(name, int64) for name in ("c.outer", "c.inner", "c.panel_start"))


@dataclass(frozen=True, slots=True)
class Panels:
    """`read(outer, inner, k, n)` laid out as [outer..., panel, inner..., k, lane].

    A panel is `columns` wide. `unit` is the index along which the source walks memory one by one.
    """

    writing: Writing
    outer: Shape
    inner: Shape
    k: Extent
    n: Extent
    columns: int
    unit: Literal["k", "n", None]
    read: Callable[[Indices, Indices, Expr, Expr], Expr]

    @property
    def buffer(self) -> Buffer:
        panels = product((*self.outer, *self.inner, self.k, self._padded_n))
        return Buffer("c.packed", self.writing.dtype, (panels,))

    @property
    def _padded_n(self) -> Extent:
        """Columns of all panels: exact for an int, else an upper bound."""
        n, columns = self.n, self.columns
        return -(-n // columns) * columns if isinstance(n, int) else n + (columns - 1)

    def place(self, outer: Expr, panel: Expr, depth: Expr, lane: Expr) -> Expr:
        """Where the element lies: `depth` counts inner axes and k together, `panel` is its first column."""
        first = outer * extent_expr(self._padded_n) + panel if self.outer else panel
        return first * extent_expr(product((*self.inner, self.k))) + depth * self.columns + lane

    def step(self) -> KernelStep:
        """The kernel that fills the panels, a task for each panel and inner position."""
        panels = ceiling(self.n, self.columns)
        inner = extent_expr(product(self.inner))
        if self.unit == "k":
            copy = self._turned()
        else:
            whole = isinstance(self.n, int) and self.n % self.columns == 0
            stop = self.columns if whole else smaller(index(self.n) - PANEL, self.columns)
            copy = (loop(DEPTH, self.k, loop(LANE, stop, self._store(DEPTH, LANE), mode="vector")),)
        body = loop(
            TASK, extent_expr(product(self.outer)) * panels * inner,
            Let(INNER.name, TASK % inner),
            Let(PANEL.name, TASK // inner % panels * self.columns),
            Let(OUTER.name, TASK // inner // panels),
            *copy, mode="parallel",
        )
        return self.writing.kernel("_pack", (body,), (self.buffer,))

    def steps(self, main: KernelStep, known: bool) -> tuple[KernelStep, ...]:
        """The kernel that reads the panels, with the one that fills them before it unless they are known."""
        return (replace(main, packed=self.arranged),) if known else (self.step(), main)

    def arranged(self, right: np.ndarray) -> np.ndarray:
        """The panels of a right operand [*inner, k, outer * n] that is known now."""
        groups = right.reshape(*right.shape[:-1], product(self.outer), self.n)
        missing = -groups.shape[-1] % self.columns
        wide = np.pad(groups, [(0, 0)] * (groups.ndim - 1) + [(0, missing)])
        panels = wide.reshape(*wide.shape[:-1], -1, self.columns)
        return np.ascontiguousarray(np.moveaxis(panels, (-3, -2), (0, 1))).reshape(-1)

    def _store(self, k: Expr, lane: Expr) -> Store:
        column = PANEL + lane
        if self.unit == "k" and not (isinstance(self.n, int) and self.n % self.columns == 0):
            column = smaller(column, self.n - 1)
        depth = INNER * extent_expr(self.k) + k if self.inner else k
        value = self.read(unflatten(OUTER, self.outer), unflatten(INNER, self.inner), k, column)
        return Store(self.buffer, (self.place(OUTER, PANEL, depth, lane),), value)

    def _turned(self) -> tuple[Statement, ...]:
        """A panel whose source is contiguous in k: square blocks turned in registers, then the rest of k.

        Columns beyond the last repeat it: their results are not stored.
        """
        side = min(self.writing.lanes, self.columns)
        whole = index(self.k) // side * side
        turn = loop(LANE, side, self._store(BLOCK + DEPTH, TURNED + LANE), mode="unroll")
        blocks = loop(TURNED, self.columns, loop(DEPTH, side, turn, mode="vector"), step=side)
        rest = loop(LANE, self.columns, self._store(DEPTH, LANE))
        return (
            loop(BLOCK, whole, blocks, step=side),
            loop(DEPTH, self.k, rest, start=whole),
        )


def over_panels(
    n: Extent,
    columns: int,
    lanes: int,
    start: Expr,
    stop: Expr,
    body: Callable[[int, bool], Sequence[Statement]],
) -> tuple[Statement, ...]:
    """Loops over the panels from `start` to `stop`: those of full width, then the last one.

    body(width, masked) is a panel's statements; masked: the panel may hold fewer than `width` columns.
    """
    if isinstance(n, int) and n % columns == 0:
        return (loop(COLUMN, stop, *body(columns, False), start=start, step=columns),)
    full = start + (stop - start) // columns * columns
    width = tail_columns(n, columns, lanes)
    partly = not isinstance(n, int) or n % columns != width
    last = loop(COLUMN, stop, *body(width, partly), start=full, step=columns)
    if isinstance(n, int) and n < columns:
        return (last,)
    return (loop(COLUMN, full, *body(columns, False), start=start, step=columns), last)


def tail_columns(n: Extent, columns: int, lanes: int) -> int:
    """The width of the last panel: whole vectors, or a power of two where less than one is left."""
    left = n % columns if isinstance(n, int) else columns
    return round_up(left, lanes) if left > lanes else power_of_two(max(1, left))
