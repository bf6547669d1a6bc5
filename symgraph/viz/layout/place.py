"""Horizontal places: each slot near what it is joined to, none closer than its neighbour allows."""

from __future__ import annotations

from collections.abc import Callable

from symgraph.viz.layout.order import Ladder

SPACE = 18.0  # between neighbours in a row
SWEEPS = 24

Links = dict[int, list[tuple[int, float, float]]]  # slot -> (other slot, offset wanted from it, weight)


def place_slots(ladder: Ladder, width: Callable[[int], float], links: Links) -> dict[int, float]:
    """x of every slot's centre; the leftmost edge is at 0.

    Each row in turn is moved to the places that minimize the weighted squares of its links' slants,
    keeping order and distances: an isotonic regression, solved exactly by pooling.
    """
    x: dict[int, float] = {}
    for row in ladder.rows:
        cursor = 0.0
        for slot in row:
            x[slot] = cursor + width(slot) / 2
            cursor += width(slot) + SPACE
    count = SWEEPS if len(x) < 3000 else 4
    for sweep in range(count):
        for row in ladder.rows if sweep % 2 == 0 else reversed(ladder.rows):
            _settle(row, x, width, links)
    left = min((x[s] - width(s) / 2 for s in x), default=0.0)
    return {slot: value - left for slot, value in x.items()}


def _settle(row: list[int], x: dict[int, float], width: Callable[[int], float], links: Links) -> None:
    offset, offsets, wanted, weights = 0.0, [], [], []
    for i, slot in enumerate(row):
        if i:
            offset += (width(row[i - 1]) + width(slot)) / 2 + SPACE
        offsets.append(offset)
        total = sum(weight for _, _, weight in links[slot])
        if total:
            wanted.append(sum((x[o] + shift) * weight for o, shift, weight in links[slot]) / total - offset)
            weights.append(total)
        else:
            wanted.append(x[slot] - offset)
            weights.append(0.05)
    for slot, value, start in zip(row, isotonic(wanted, weights), offsets, strict=True):
        x[slot] = value + start


def isotonic(wanted: list[float], weights: list[float]) -> list[float]:
    """The non-decreasing numbers closest to `wanted` in weighted squares (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(wanted, weights, strict=True):
        length = 1
        while pools and pools[-1][0] >= value:
            mean, heavy, more = pools.pop()
            value = (value * weight + mean * heavy) / (weight + heavy)
            weight, length = weight + heavy, length + more
        pools.append((value, weight, length))
    return [mean for mean, _, length in pools for _ in range(length)]
