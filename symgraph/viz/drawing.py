"""`sg.draw`: a picture file of a symbol, a tensor's tape, a module, a graph or a stage of a compilation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from symgraph.eager import State, Tensor
from symgraph.errors import ExportError, GraphError
from symgraph.graph import Graph, Node, topological
from symgraph.nn.module import Module
from symgraph.symbol import INPUT, Symbol
from symgraph.viz.build import Clusters, picture_of
from symgraph.viz.dot import dot_text
from symgraph.viz.files import write_whole
from symgraph.viz.folded import folded_picture
from symgraph.viz.graphviz_program import run_dot
from symgraph.viz.groups import by_line, checked
from symgraph.viz.model import module_picture
from symgraph.viz.page import html_text
from symgraph.viz.picture import Picture
from symgraph.viz.svg import svg_text
from symgraph.viz.tape import node_names, tape_graph, variables

FORMATS = (".dot", ".svg", ".png", ".html")


def draw(
    what: Any,
    path: str | os.PathLike[str],
    *,
    detail: bool = False,
    clusters: Iterable[tuple[str, Iterable[Node]]] | str | None = None,
    title: str | None = None,
) -> Path:
    """Write a picture; the suffix decides: .dot, .svg, .png or .html. Returns the path.

    what: a Symbol (or several), an eager Tensor (its tape), a Module (its layers), a Graph, or a stage
        (anything with a `graph`, and maybe `clusters`).
    detail: draw every node; else shape-only copies are left out, scalars are written into their users and
        the update of each parameter is one box.
    clusters: (title, nodes) for each frame to draw, or "lines" for a frame a line of the user's program.

    .svg and .html are drawn by a layout of our own, of any size. A .png needs Graphviz's `dot`: where that
    is missing, fails or takes over 30 s, the .dot is written beside it and ExportError raised. A file
    appears whole or not at all.
    """
    target = _checked(path)
    return write_picture(make_picture(what, detail=detail, clusters=clusters, title=title), target)


def draw_folded(graph: Graph, path: str | os.PathLike[str], clusters: Clusters, title: str) -> Path:
    """Write a picture with one box for each cluster, in a format of `draw`."""
    target = _checked(path)
    return write_picture(folded_picture(graph, clusters, title), target)


def _checked(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ExportError(f"draw: {target.name!r} ends in none of {', '.join(FORMATS)}")
    return target


def make_picture(
    what: Any,
    *,
    detail: bool = False,
    clusters: Iterable[tuple[str, Iterable[Node]]] | str | None = None,
    title: str | None = None,
) -> Picture:
    """The picture of anything that `draw` takes, without a file."""
    if isinstance(what, Module):
        return module_picture(what, title if title is not None else type(what).__name__)
    graph, names = _graph_of(what)
    lines = isinstance(clusters, str) and clusters == "lines"
    if clusters is None:
        clusters = getattr(what, "clusters", ())
    groups: Clusters = by_line(graph) if lines else checked(clusters or ())
    if title is None:
        title = getattr(what, "name", "")
    return picture_of(
        graph, title=str(title), detail=detail, clusters=groups, smallest=2 if lines else 1, names=names
    )


def write_picture(picture: Picture, target: Path) -> Path:
    """The picture in the format of the suffix."""
    kind = target.suffix.lower()
    if kind == ".svg":
        return write_whole(target, svg_text(picture).encode())
    if kind == ".html":
        return write_whole(target, html_text(svg_text(picture), picture.title).encode())
    source = dot_text(picture)
    if kind == ".dot":
        return write_whole(target, source.encode())
    try:
        return write_whole(target, run_dot(source, "png"))
    except ExportError as error:
        beside = write_whole(target.with_suffix(".dot"), source.encode())
        raise ExportError(f"{error}\n  the graph is in {beside}; a .svg or .html needs no program") from error


def _graph_of(what: Any) -> tuple[Graph, dict[Node, str]]:
    """The graph to draw, and what the caller's variables call its nodes."""
    known = variables()
    if isinstance(what, Tensor) and not isinstance(what, State):
        return tape_graph(what, known)
    graph = what if isinstance(what, Graph) else getattr(what, "graph", None)
    if not isinstance(graph, Graph):
        results = [_node(part) for part in (what if isinstance(what, list | tuple) else (what,))]
        inputs = tuple(node for node in topological(results) if node.op is INPUT)
        graph = Graph(inputs=inputs, outputs=tuple(results))
    return graph, node_names(known)


def _node(part: Any) -> Node:
    if isinstance(part, Symbol):
        return part.node
    if isinstance(part, State):
        return part.leaf_node()
    raise GraphError(
        f"draw: expected a Symbol, Tensor, Module, Graph or a stage with a graph, not {type(part).__name__}"
    )
