"""Cutting a tall drawing into blocks of rows side by side, so that it fits a screen's proportions."""

from __future__ import annotations

from math import ceil, sqrt

from symgraph.viz.layout.place import SPACE
from symgraph.viz.layout.sheet import LANES, Grid, Sheet

TALLEST = 3000.0  # pixels a drawing may be high before it is cut
PROPORTION = 1.5  # width to height of a drawing that is cut
GAP = 48.0  # pixels between rows, on average


def cut_into_blocks(sheet: Sheet, row: list[int]) -> Grid:
    """Rows in as many blocks as give the drawing a good shape, cut where few arcs cross."""
    count = max(row, default=0) + 1
    heights = [0.0] * count
    used = [[0.0] * count for _ in LANES]
    for item, r in enumerate(row):
        heights[r] = max(heights[r], sheet.heights[item])
        used[sheet.lanes[item]][r] += sheet.widths[item] + SPACE
    height = sum(heights) + GAP * count
    width = sum(max(lane) + 40.0 for lane in used if any(lane)) or 1.0
    if height <= TALLEST:
        return Grid(row, [0], count)
    blocks = min(max(1, round(sqrt(PROPORTION * height / width))), max(1, count // 4))
    return Grid(row, _cuts(_crossing(sheet, row, count), heights, blocks), count)


def _crossing(sheet: Sheet, row: list[int], count: int) -> list[int]:
    """For each row the number of arcs that a cut right above it would go through."""
    change = [0] * (count + 1)
    for arc in sheet.arcs:
        upper, lower = sorted((row[arc.source], row[arc.target]))
        change[upper + 1] += 1
        change[lower + 1] -= 1
    crossing, total = [], 0
    for r in range(count):
        total += change[r]
        crossing.append(total)
    return crossing


def _cuts(crossing: list[int], heights: list[float], blocks: int) -> list[int]:
    """First rows of the blocks: near equal heights, each cut moved a little to where it crosses least."""
    count = len(heights)
    below = [0.0] * (count + 1)  # the height from each row down
    for r in reversed(range(count)):
        below[r] = below[r + 1] + heights[r] + GAP
    starts = [0]
    slack = max(1, ceil(0.1 * count / blocks))
    while len(starts) < blocks:
        target = below[starts[-1]] * (1 - 1 / (blocks - len(starts) + 1))
        ideal = next(r for r in range(starts[-1], count + 1) if below[r] <= target)
        near = range(max(starts[-1] + 1, ideal - slack), min(count, ideal + slack + 1))
        if not near:
            break
        starts.append(min(near, key=lambda c: (crossing[c], abs(c - ideal))))
    return starts
