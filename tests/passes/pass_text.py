"""Golden tests of passes: graphs in their canonical text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import dedent

from symgraph.graph import Graph
from symgraph.symbol import Symbol, node_of
from symgraph.text import graph_text


def graph_of(inputs: Sequence[Symbol], *outputs: Symbol, updates: dict | None = None) -> Graph:
    pairs = tuple((node_of(s), node_of(v)) for s, v in (updates or {}).items())
    return Graph(
        inputs=tuple(i.node for i in inputs), outputs=tuple(node_of(o) for o in outputs), updates=pairs
    )


def becomes(graph: Graph, text: str, *passes: Callable[[Graph], Graph]) -> None:
    """The passes turn the graph into the one with this text."""
    for step in passes:
        graph = step(graph)
    found = graph_text(graph, locations=False)
    assert found.strip() == dedent(text).strip(), found
