"""What a reshape does to axes: the smallest stretches of old axes that became stretches of new ones."""

from __future__ import annotations

from dataclasses import dataclass

from symgraph.dimension import Extent, Shape, divide

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AxisGroup:
    """Neighbouring old axes whose elements, in row-major order, are those of neighbouring new axes."""

    old: Axes
    new: Axes


def axis_groups(old: Shape, new: Shape) -> list[AxisGroup] | None:
    """The groups of a reshape in order, or None if an extent is 0 or a rank is. Axes of size 1 go with what
    stands before them, at the very front with what follows."""
    if not old or not new or 0 in (*old, *new):
        return None
    groups = []
    i = j = 0
    while i < len(old) and j < len(new):
        first, second = i, j
        left, right = old[i], new[j]
        i, j = i + 1, j + 1
        while left != right:
            if j < len(new) and (i == len(old) or divide(left, right) is not None):
                right, j = right * new[j], j + 1
            elif i < len(old):
                left, i = left * old[i], i + 1
            else:
                return None
        i, j = _past_ones(old, i), _past_ones(new, j)
        groups.append(AxisGroup(tuple(range(first, i)), tuple(range(second, j))))
    return groups if i == len(old) and j == len(new) else None


def _past_ones(shape: tuple[Extent, ...], at: int) -> int:
    while at < len(shape) and shape[at] == 1:
        at += 1
    return at


def reshaped_order(old: Shape, new: Shape, order: Axes) -> Axes | None:
    """The order of the new axes where memory holds the old ones in `order`, if a reshape keeps it.

    Every group must stand together and in order there, so that splitting and merging happen inside of it.
    """
    groups = axis_groups(old, new)
    if groups is None:
        return None
    large = [a for a in order if old[a] != 1]
    group_of = {a: g for g in groups for a in g.old}
    made: list[int] = []
    seen: set[AxisGroup] = set()
    for at, axis in enumerate(large):
        group = group_of[axis]
        if group in seen:
            continue
        seen.add(group)
        own = [a for a in group.old if old[a] != 1]
        if large[at : at + len(own)] != own:
            return None
        made.extend(group.new)
    return (*(a for g in groups if g not in seen for a in g.new), *made)
