"""A picture as DOT text, for Graphviz."""

from __future__ import annotations

from collections.abc import Sequence

import graphviz

from symgraph.viz.picture import Box, Picture, Role
from symgraph.viz.style import (
    CLUSTER_FILLS,
    CLUSTER_STROKES,
    EDGE,
    FAINT_INK,
    STYLES,
    edge_colour,
    fill_of,
)

SHAPES = {
    "pill": "box",
    "drum": "cylinder",
    "plain": "box",
    "rounded": "box",
    "bevelled": "octagon",
    "hexagon": "hexagon",
}
ROUND = ("pill", "rounded")
FONT = "DejaVu Sans,Helvetica,Arial"


def dot_text(picture: Picture) -> str:
    """DOT with a legend. Labels hold user's names; they are quoted and escaped, never HTML-like."""
    drawing = graphviz.Digraph(name="symgraph")
    drawing.attr("graph", rankdir="TB", label=_literal(picture.title), labelloc="t", fontname=FONT)
    drawing.attr("graph", nodesep="0.25", ranksep="0.4", tooltip=_literal(picture.title or "symgraph"))
    drawing.attr("node", fontname=FONT, fontsize="11", margin="0.12,0.05", height="0.3")
    drawing.attr("edge", fontname=FONT, fontsize="9", fontcolor=FAINT_INK, color=EDGE, arrowsize="0.6")
    for index, box in enumerate(picture.boxes):
        if box.cluster is None:
            _add_box(drawing, f"n{index}", box)
    for number, title in enumerate(picture.clusters):
        _add_cluster(drawing, picture, number, title)
    for edge in picture.edges:
        colour = edge_colour(picture.boxes[edge.target].role)
        drawing.edge(f"n{edge.source}", f"n{edge.target}", label=_literal(edge.label), color=colour)
    _add_legend(drawing, picture)
    return drawing.source


def _add_cluster(drawing: graphviz.Digraph, picture: Picture, number: int, title: str) -> None:
    members = [i for i, box in enumerate(picture.boxes) if box.cluster == number]
    if not members:
        return
    group = graphviz.Digraph(name=f"cluster_{number}")
    group.attr(label=_literal(title), style="rounded,filled", fontsize="10", labeljust="l")
    group.attr(fillcolor=CLUSTER_FILLS[number % len(CLUSTER_FILLS)], fontcolor=FAINT_INK)
    group.attr(color=CLUSTER_STROKES[number % len(CLUSTER_STROKES)])
    for index in members:
        _add_box(group, f"n{index}", picture.boxes[index])
    drawing.subgraph(group)


def _add_box(drawing: graphviz.Digraph, name: str, box: Box) -> None:
    style = STYLES[box.role]
    looks = ["filled"] + ["rounded"] * (style.shape in ROUND) + ["dashed"] * style.dashed
    drawing.node(
        name,
        label=_lines(box.lines),
        tooltip=_lines(box.tooltip.split("\n")),
        shape=SHAPES[style.shape],
        style=",".join(looks),
        fillcolor=fill_of(box),
        color=style.stroke,
        fontcolor=style.ink,
        fontsize="9" if box.quiet else "11",
    )


def _add_legend(drawing: graphviz.Digraph, picture: Picture) -> None:
    legend = graphviz.Digraph(name="cluster_legend")
    legend.attr(label="legend", fontsize="10", color="#cbd2d9", style="rounded", fontcolor=FAINT_INK)
    for role in picture.roles:
        _add_box(legend, f"legend{list(Role).index(role)}", Box(role=role, lines=(role.value,)))
    drawing.subgraph(legend)


def _literal(text: str) -> str:
    """DOT text that is drawn as `text`: no escape, no HTML, no character reference in it has a meaning."""
    return graphviz.nohtml(_plain(text))


def _lines(lines: Sequence[str]) -> str:
    return graphviz.nohtml("\\n".join(_plain(line) for line in lines))


def _plain(text: str) -> str:
    shown = "".join(c for c in text if c.isprintable())
    return str(graphviz.escape(shown.replace("&", "&amp;")))
