"""What a drawing shows, before it has a format or a place: boxes, edges and clusters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a box stands for; told apart by colour and shape. The value is the legend's text."""

    INPUT = "input"
    PARAMETER = "parameter"
    STATE = "state"
    CONSTANT = "constant"
    FORWARD = "forward"
    BACKWARD = "backward (chain rule)"
    UPDATE = "update of a parameter or state"
    OUTPUT = "output"
    MODULE = "module"


class Lane(Enum):
    """Side by side in a drawing: forward runs down, backward runs back up beside it, then updates."""

    FORWARD = 0
    BACKWARD = 1
    UPDATE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One thing of a picture. `lines[0]` is its title. `quiet` boxes only move or hold data."""

    role: Role
    lines: tuple[str, ...]
    tooltip: str = ""
    cluster: int | None = None
    lane: Lane = Lane.FORWARD
    quiet: bool = False
    heavy: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that flows from box `source` to box `target`; `label` is its type."""

    source: int
    target: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes in topological order: an edge goes from a lower index to a higher one."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    clusters: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that occur, in the legend's order."""
        present = {box.role for box in self.boxes}
        return tuple(role for role in Role if role in present)
