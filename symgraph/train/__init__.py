"""Training loops' furniture, and the digits classifier that the demo trains in both worlds."""

from symgraph.train.progress import Progress

__all__ = ["Progress"]
