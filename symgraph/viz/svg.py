"""A picture as SVG in our own layout: no program needed, any size, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from symgraph.viz.caption import cut
from symgraph.viz.layout.arrange import Layout, Line, Rectangle, Tag, arrange
from symgraph.viz.layout.engine import Piece
from symgraph.viz.picture import Box, Picture
from symgraph.viz.shapes import outline
from symgraph.viz.style import (
    BACKWARD_EDGE,
    CLUSTER_FILLS,
    CLUSTER_STROKES,
    DETAIL_SIZE,
    EDGE,
    FAINT_INK,
    FONT,
    INK,
    LABEL_SIZE,
    LINE,
    STYLES,
    UPDATE_EDGE,
    box_size,
    edge_colour,
    fill_of,
    line_size,
    text_width,
)

MARGIN = 24.0
HEADER = 26.0
CORNER = 6.0  # radius where a bus turns
ARROWS = {EDGE: "arrow", BACKWARD_EDGE: "arrow-back", UPDATE_EDGE: "arrow-update"}


def svg_text(picture: Picture) -> str:
    """A complete SVG document with tooltips, a title and a legend."""
    layout = arrange(picture)
    legend = list(_legend(picture))
    legend_width = sum(width + 16 for _, width in legend)
    wide = max(layout.width, legend_width, text_width(picture.title, 15.0)) + 2 * MARGIN
    top = MARGIN + (HEADER if picture.title else 0.0)
    high = top + layout.height + 44.0 + MARGIN
    left = (wide - layout.width) / 2
    parts = [_head(wide, high, picture.title)]
    if picture.title:
        parts.append(_text(picture.title, wide / 2, MARGIN + 8, 15.0, INK, bold=True))
    parts.append(f'<g transform="translate({_n(left)} {_n(top)})">')
    parts += _drawing(picture, layout)
    parts.append("</g>")
    cursor = (wide - legend_width) / 2
    for box, width in legend:
        place = Rectangle(cursor, high - MARGIN - 24.0, width, 24.0)
        parts.append(f"<g>{_box_body(box, place)}</g>")
        cursor += width + 16
    parts.append("</svg>\n")
    return "\n".join(parts)


def _head(width: float, height: float, title: str) -> str:
    arrows = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0.8 L8 4 L0 7.2 z" fill="{colour}"/></marker>'
        for colour, name in ARROWS.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}">\n'
        f"<title>{_escaped(title or 'symgraph')}</title><defs>{arrows}</defs>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
    )


def _drawing(picture: Picture, layout: Layout) -> Iterator[str]:
    for frame in layout.frames:
        yield _frame(frame.number, picture.clusters[frame.number], frame.place)
    for line in layout.lines:
        yield _line(picture, line)
    for frame in layout.frames:
        x, y = frame.place.x + 9.0, frame.place.y + 14.0
        title = cut(picture.clusters[frame.number], int(frame.place.width / (0.6 * DETAIL_SIZE)))
        yield _text(title, x, y, DETAIL_SIZE, FAINT_INK, anchor="start", paper=_pale(frame.number))
    for index, (box, place) in enumerate(zip(picture.boxes, layout.boxes, strict=True)):
        tip = f"<title>{_escaped(box.tooltip)}</title>" if box.tooltip else ""
        yield f'<g id="n{index}">{tip}{_box_body(box, place)}</g>'
    for tag in layout.tags:
        yield _tag(picture, tag)
    yield from _labels(picture, layout)


def _pale(number: int) -> str:
    return CLUSTER_FILLS[number % len(CLUSTER_FILLS)]


def _frame(number: int, title: str, place: Rectangle) -> str:
    stroke = CLUSTER_STROKES[number % len(CLUSTER_STROKES)]
    return (
        f'<rect {_corners(place)} rx="8" fill="{_pale(number)}" stroke="{stroke}" stroke-width="1.2">'
        f"<title>{_escaped(title)}</title></rect>"
    )


def _box_body(box: Box, place: Rectangle) -> str:
    style = STYLES[box.role]
    looks = f'fill="{fill_of(box)}" stroke="{style.stroke}" stroke-width="{0.7 if box.quiet else 1.2}"'
    if style.dashed:
        looks += ' stroke-dasharray="4 2"'
    parts = [outline(style.shape, place.x, place.y, place.width, place.height, looks)]
    middle = place.x + place.width / 2
    first = place.y + place.height / 2 - LINE * (len(box.lines) - 1) / 2 + 4.2
    if style.shape == "drum":
        first += 0.1 * place.height
    for i, line in enumerate(box.lines):
        ink = style.ink if not i or style.ink != INK else FAINT_INK
        parts.append(_text(line, middle, first + i * LINE, line_size(box, i), ink, bold=box.heavy and not i))
    return "".join(parts)


def _line(picture: Picture, line: Line) -> str:
    colour = edge_colour(picture.boxes[picture.edges[line.edge].target].role)
    start = line.pieces[0].points[0]
    path = f"M{_p(start)}" + "".join(_smooth(p) if p.smooth else _square(p) for p in line.pieces)
    return f'<path d="{path}" fill="none" stroke="{colour}" marker-end="url(#{ARROWS[colour]})"/>'


def _smooth(piece: Piece) -> str:
    """Straight where a pair of points lies in one row, a vertical-tangent curve across each gap."""
    parts = []
    points = piece.points
    for i in range(1, len(points)):
        (x, y), (u, v) = points[i - 1], points[i]
        if x == u:
            if y != v:  # a line of no length would turn the arrow head
                parts.append(f"L{_p((u, v))}")
        else:
            half = (v - y) / 2
            parts.append(f"C{_p((x, y + half))} {_p((u, v - half))} {_p((u, v))}")
    return "".join(parts)


def _square(piece: Piece) -> str:
    """Right angles with rounded corners."""
    points = [p for i, p in enumerate(piece.points) if not i or p != piece.points[i - 1]]
    parts = []
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        into, out = _towards(corner, before), _towards(corner, after)
        parts.append(f"L{_p(into)}Q{_p(corner)} {_p(out)}")
    return "".join(parts) + f"L{_p(points[-1])}"


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """A point near the corner on the way to the other."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    step = min(CORNER, length / 2) / length if length else 0.0
    return corner[0] + dx * step, corner[1] + dy * step


def _labels(picture: Picture, layout: Layout) -> Iterator[str]:
    """The type of each value, once, where its first line leaves the box."""
    labelled: set[int] = set()
    for line in layout.lines:
        edge = picture.edges[line.edge]
        if edge.label and edge.source not in labelled:
            labelled.add(edge.source)
            x, y = line.pieces[0].points[0]
            box = layout.boxes[edge.source]
            upwards = y < box.y + box.height / 2
            y += -6.0 if upwards else 13.0
            yield _text(edge.label, x, y, LABEL_SIZE, FAINT_INK, paper="#ffffff")


def _tag(picture: Picture, tag: Tag) -> str:
    source = picture.boxes[tag.source]
    words = f"and {tag.more} more" if tag.more else f"↪ {source.lines[0]}"
    place, style = tag.place, STYLES[source.role]
    limit = max(4, int(place.width / (0.62 * LABEL_SIZE)))
    shown = words if len(words) <= limit else words[: limit - 1] + "…"
    body = (
        f"<rect {_corners(Rectangle(place.x, place.y + 1, place.width, place.height - 3))} "
        f'rx="6" fill="#ffffff" stroke="{style.stroke}" stroke-width="0.7" stroke-dasharray="3 2"/>'
        + _text(shown, place.x + place.width / 2, place.y + 10.5, LABEL_SIZE, FAINT_INK)
    )
    if tag.more:
        return f"<g>{body}</g>"
    return f'<a href="#n{tag.source}"><title>{_escaped(source.tooltip)}</title>{body}</a>'


def _legend(picture: Picture) -> Iterator[tuple[Box, float]]:
    for role in picture.roles if len(picture.roles) > 1 else ():
        box = Box(role=role, lines=(role.value,))
        yield box, box_size(box)[0]


def _text(
    words: str,
    x: float,
    y: float,
    size: float,
    ink: str,
    *,
    anchor: str = "middle",
    bold: bool = False,
    paper: str = "",
) -> str:
    """A line of text, on a patch of `paper` colour where given, so that lines below do not cross it."""
    looks = f'font-size="{_n(size)}" fill="{ink}" text-anchor="{anchor}"'
    if bold:
        looks += ' font-weight="bold"'
    patch = ""
    if paper:
        width = 0.9 * text_width(words, size)
        left = x - (width / 2 if anchor == "middle" else 0.0)
        patch = (
            f'<rect x="{_n(left)}" y="{_n(y - size)}" width="{_n(width)}" height="{_n(size * 1.3)}" rx="3" '
            f'fill="{paper}" fill-opacity="0.85"/>'
        )
    return patch + f'<text x="{_n(x)}" y="{_n(y)}" {looks}>{_escaped(words)}</text>'


def _escaped(text: str) -> str:
    """For XML: markup escaped, and the characters that XML forbids left out."""
    return escape("".join(c for c in text if c == "\n" or c.isprintable()), quote=True)


def _corners(place: Rectangle) -> str:
    return f'x="{_n(place.x)}" y="{_n(place.y)}" width="{_n(place.width)}" height="{_n(place.height)}"'


def _p(point: tuple[float, float]) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(value: float) -> str:
    """One decimal is a tenth of a pixel; no trailing zero."""
    return f"{value:.1f}".removesuffix(".0")
