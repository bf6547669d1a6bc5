"""Feeding arrays to a training loop."""

from symgraph.data.batches import Batches, batches, split

__all__ = ["Batches", "batches", "split"]
