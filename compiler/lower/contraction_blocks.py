"""How a contraction is cut: register tile, cache blocks, tasks, and which operands are packed.

`rows` x `columns` results are held in registers while k runs. A task owns `task_rows` x `task_columns`
results and runs k in blocks of `depth`: its block of the left operand stays in the second cache, a panel
of the right operand, `columns` wide, in or near the first. Nothing here depends on the number of threads,
so neither do the results.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.llvm.target import Target
from compiler.lower.contraction_problem import Contraction
from symgraph.dimension import Extent

ASSUMED = 256  # the size that a named dimension is taken to have where a choice needs one
TASK_FLOPS = 1 << 22  # multiplications and additions that are worth a task of their own
STACK = 128 * 1024  # bytes of scratch that a kernel may hold itself
CLAMPED = 1.07  # measured cost of rows with an address each
FEW_TILES = 8  # passes over the right operand that do not repay a packed copy, measured at k from 64 to 1024


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sizes in elements. `depth` None: k is not cut, and no partial results are kept."""

    rows: int
    columns: int
    lanes: int
    task_rows: int
    task_columns: int
    depth: int | None
    pack_right: bool


def size(extent: Extent) -> int:
    """An extent as a number; named dimensions are taken to be of moderate size."""
    return extent if isinstance(extent, int) else ASSUMED


def choose_blocks(problem: Contraction, packed_left: bool) -> Blocks:
    """Blocks for a contraction. `packed_left`: its left block is copied, and must fit on the stack."""
    m, n, k, target = problem.m, problem.n, problem.k, problem.target
    item = problem.dtype.itemsize
    lanes = target.lanes(problem.dtype)
    columns = tile_columns(n, lanes)
    rows = _rows(m, target, columns // min(columns, lanes))
    depth = _depth(k, columns * item)
    task_rows = _task_rows(m, rows, ((depth or size(k)) + lanes) * item if packed_left else 0)
    flops_a_column = 2 * max(1, min(size(m), task_rows)) * max(1, size(k))
    wide = max(columns, round_up(TASK_FLOPS // flops_a_column, columns))
    if depth is not None:
        wide = min(wide, max(columns, STACK // (task_rows * item) // columns * columns))
    return Blocks(
        rows=rows, columns=columns, lanes=lanes, task_rows=task_rows,
        task_columns=min(wide, round_up(size(n), columns)), depth=depth,
        pack_right=-(-size(m) // rows) > FEW_TILES,
    )


def few_row_blocks(problem: Contraction) -> Blocks:
    """Blocks for a handful of rows: the right operand is read once, in place, and nothing is packed."""
    lanes = problem.target.lanes(problem.dtype)
    # Panels that were packed ahead are those of all kernels.
    columns = tile_columns(problem.n, lanes) * (1 if problem.right_known else 2)
    depth = _depth(problem.k, columns * problem.dtype.itemsize)
    return Blocks(
        rows=2, columns=columns, lanes=lanes, task_rows=8, task_columns=columns, depth=depth, pack_right=False
    )


def tile_columns(n: Extent, lanes: int) -> int:
    """Two vectors; fewer where n is known to fit in less."""
    if not isinstance(n, int) or n > lanes:
        return 2 * lanes
    return power_of_two(max(1, n))


def power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()


def _rows(m: Extent, target: Target, vectors: int) -> int:
    """As many rows as registers hold beside the right operand, preferring to divide m without a rest."""
    most = (target.vector_registers - 4) // vectors if target.vector_registers < 32 else 22 // vectors
    usual = min(most, 8)
    if not isinstance(m, int):
        return usual
    if m <= most:
        return max(1, m)

    def cost(rows: int) -> float:
        # Rows that do not divide m need an address each, where else one serves all.
        return -(-m // rows) * (rows * vectors + 1) * (1.0 if m % rows == 0 else CLAMPED)

    return min(range(min(4, usual), most + 1), key=cost)


def _depth(k: Extent, row_bytes: int) -> int | None:
    """k in equal blocks whose panel fits on the stack; None where all of k does."""
    most = STACK // row_bytes // 8 * 8
    if isinstance(k, int) and k <= most:
        return None
    if not isinstance(k, int):
        return min(most, 512)
    blocks = -(-k // min(most, 512))
    return round_up(-(-k // blocks), 8)


def _task_rows(m: Extent, rows: int, left_row_bytes: int) -> int:
    most = 128 if not left_row_bytes else max(rows, min(128, STACK // left_row_bytes))
    parts = max(1, -(-size(m) // most)) if isinstance(m, int) else 1
    even = -(-size(m) // parts) if isinstance(m, int) else most
    return max(rows, min(round_up(even, rows), most // rows * rows))


def round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
