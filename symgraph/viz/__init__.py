"""Pictures of graphs, tapes and models."""

from symgraph.viz.draw import draw

__all__ = ["draw"]
