"""Outlines of boxes in SVG."""

from __future__ import annotations

from symgraph.viz.style import Shape

BEVEL = 7.0
POINT = 10.0  # how far a hexagon's sides stick out
LID = 4.0  # half the height of a drum's lid, at most


def outline(shape: Shape, x: float, y: float, width: float, height: float, looks: str) -> str:
    """An SVG element of the shape that fills the rectangle; `looks` are its other attributes."""
    if shape == "drum":
        return _drum(x, y, width, height, looks)
    if shape == "bevelled":
        return _polygon(_bevelled(x, y, width, height, min(BEVEL, height / 3), min(BEVEL, height / 3)), looks)
    if shape == "hexagon":
        return _polygon(_bevelled(x, y, width, height, POINT, height / 2), looks)
    radius = {"pill": height / 2, "rounded": 5.0, "plain": 2.0}[shape]
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}" {looks}/>'
    )


def _bevelled(x: float, y: float, w: float, h: float, dx: float, dy: float) -> list[tuple[float, float]]:
    return [
        (x + dx, y), (x + w - dx, y), (x + w, y + dy), (x + w, y + h - dy),
        (x + w - dx, y + h), (x + dx, y + h), (x, y + h - dy), (x, y + dy),
    ]  # fmt: skip


def _polygon(points: list[tuple[float, float]], looks: str) -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{corners}" {looks}/>'


def _drum(x: float, y: float, width: float, height: float, looks: str) -> str:
    """A cylinder standing upright: storage."""
    lid = min(LID, height / 8)
    arc = f"{width / 2:.1f} {lid:.1f} 0 0"
    left, right, top, bottom = x, x + width, y + lid, y + height - lid
    body = (
        f"M{left:.1f} {top:.1f}A{arc} 1 {right:.1f} {top:.1f}V{bottom:.1f}A{arc} 1 {left:.1f} {bottom:.1f}z"
        f"M{left:.1f} {top:.1f}A{arc} 0 {right:.1f} {top:.1f}"
    )
    return f'<path d="{body}" {looks}/>'
