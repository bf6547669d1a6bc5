"""How each role looks, in every format: one table of colours and shapes."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from symgraph.viz.picture import Box, Role

Shape = Literal["pill", "drum", "plain", "rounded", "bevelled", "hexagon"]

FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
TITLE_SIZE = 12.0
DETAIL_SIZE = 10.0
LABEL_SIZE = 9.5
INK = "#1f2933"
FAINT_INK = "#52606d"
EDGE = "#7b8794"
BACKWARD_EDGE = "#cf5b5b"
UPDATE_EDGE = "#8a63c9"


@dataclass(frozen=True, slots=True)
class Style:
    """Colours as #rrggbb; `strong` is the fill of heavy boxes (contractions)."""

    shape: Shape
    fill: str
    stroke: str
    strong: str
    ink: str = INK
    dashed: bool = False


STYLES: dict[Role, Style] = {
    Role.INPUT: Style("pill", "#dbeafe", "#2563b0", "#dbeafe"),
    Role.PARAMETER: Style("drum", "#dcf3e0", "#2f855a", "#dcf3e0"),
    Role.STATE: Style("drum", "#d9f2f2", "#2c7a7b", "#d9f2f2", dashed=True),
    Role.CONSTANT: Style("plain", "#f1f3f5", "#adb5bd", "#f1f3f5", FAINT_INK),
    Role.FORWARD: Style("rounded", "#fff6dd", "#b7791f", "#fbdf95"),
    Role.BACKWARD: Style("bevelled", "#fde4e4", "#c53030", "#f8bcbc"),
    Role.UPDATE: Style("hexagon", "#ece2fb", "#6b46c1", "#ece2fb"),
    Role.OUTPUT: Style("pill", "#334155", "#1e293b", "#334155", "#ffffff"),
    Role.MODULE: Style("rounded", "#eef2f7", "#52667a", "#dde6f0"),
}

# Pastels that differ from each other and from the roles' fills; reused in order.
CLUSTER_FILLS = ("#eef6ff", "#f1faf1", "#fff9ec", "#f7f1ff", "#fff1f3", "#eefaf9", "#f6f6ee", "#f3f3fa")
CLUSTER_STROKES = ("#6c9bd2", "#74b087", "#cfa44b", "#9d83cd", "#d58a97", "#62aaa5", "#a3a36b", "#8a8ab5")

PADDING_X, PADDING_Y, LINE = 11.0, 6.0, 14.5


def text_width(text: str, size: float) -> float:
    """An upper estimate, in the units of `size`, of what a sans-serif font needs."""
    return size * sum(map(_advance, text))


def _advance(character: str) -> float:
    if character in "iljI.,:;'|!()[] ft":
        return 0.42
    if character in "mwMW@%—…":
        return 0.98
    if character.isascii():
        return 0.68 if character.isupper() else 0.63
    return 1.1 if unicodedata.east_asian_width(character) in "WF" else 0.7


def box_size(box: Box) -> tuple[float, float]:
    """Width and height of a box around its lines."""
    widths = [text_width(line, line_size(box, i)) for i, line in enumerate(box.lines)]
    side = PADDING_X + (6.0 if STYLES[box.role].shape in ("hexagon", "pill") else 0.0)
    height = LINE * len(box.lines) + 2 * PADDING_Y
    if STYLES[box.role].shape == "drum":
        height += 6.0
    if box.quiet:
        return max(widths, default=0.0) + PADDING_X, height - PADDING_Y
    return max(max(widths, default=0.0) + 2 * side, 46.0), height


def line_size(box: Box, index: int) -> float:
    return DETAIL_SIZE if index or box.quiet else TITLE_SIZE


def fill_of(box: Box) -> str:
    style = STYLES[box.role]
    if box.quiet and box.role in (Role.FORWARD, Role.BACKWARD):
        return "#fffdf6" if box.role is Role.FORWARD else "#fef6f6"
    return style.strong if box.heavy else style.fill


def edge_colour(target: Role) -> str:
    return {Role.BACKWARD: BACKWARD_EDGE, Role.UPDATE: UPDATE_EDGE}.get(target, EDGE)
