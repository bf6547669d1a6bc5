"""A bar chart of ratios as SVG: one group of bars a row, one bar a number of threads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

LEFT, WIDTH, BAR, GAP, TOP = 130, 560, 13, 11, 54
COLOURS = ("#2b6cb0", "#90b8de", "#c3d7ec", "#e1ebf5")
INK, FAINT, EVEN = "#1f2933", "#d5dbe1", "#b42318"
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


def chart(title: str, bars: Mapping[str, Sequence[float | None]], legend: Sequence[str]) -> str:
    """`bars` are a label's values, one for each name of the legend, or None; the axis is logarithmic."""
    values = [v for found in bars.values() for v in found if v]
    low, high = _ends(values or [1.0, 2.0])

    def across(value: float) -> float:
        return LEFT + WIDTH * math.log(value / low) / math.log(high / low)

    group = BAR * len(legend) + GAP
    bottom = TOP + group * len(bars)
    parts = [_text(16, 20, title, size=14, weight="bold"), *_legend(legend)]
    for tick in (t for t in TICKS if low <= t <= high):
        parts.append(_line(across(tick), TOP - 4, bottom, EVEN if tick == 1 else FAINT))
        parts.append(_text(across(tick), bottom + 16, f"{tick:g}x", anchor="middle"))
    for number, (label, found) in enumerate(bars.items()):
        top = TOP + number * group
        parts.append(_text(LEFT - 8, top + BAR * len(legend) / 2 + 4, label, anchor="end"))
        for place, value in enumerate(found):
            parts += _bar(across, value, top + place * BAR, COLOURS[place % len(COLOURS)])
    size = f'width="{LEFT + WIDTH + 60}" height="{bottom + 28}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {FONT}>\n{BACKGROUND}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


FONT = 'font-family="Helvetica, Arial, sans-serif" font-size="12"'
BACKGROUND = '<rect width="100%" height="100%" fill="#ffffff"/>'


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Powers of two around all values and one."""
    low, high = min(*values, 1.0) / 1.1, max(*values, 2.0) * 1.1
    return 2.0 ** math.floor(math.log2(low)), 2.0 ** math.ceil(math.log2(high))


def _bar(across, value: float | None, top: float, colour: str) -> list[str]:
    """From 1 to the value, so that a row below 1 points the other way."""
    if value is None:
        return []
    start, stop = sorted((across(1.0), across(value)))
    box = f'<rect x="{start:.1f}" y="{top}" width="{stop - start:.1f}" height="{BAR - 2}" fill="{colour}"/>'
    return [box, _text(stop + 4, top + BAR - 3, f"{value:.2f}", size=10)]


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for place, name in enumerate(names):
        x = LEFT + 110 * place
        parts.append(f'<rect x="{x}" y="32" width="10" height="10" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(_text(x + 15, 41, name))
    return parts


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal"
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _line(x: float, top: float, bottom: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>'
