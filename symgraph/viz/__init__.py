"""Pictures of graphs, tapes and models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symgraph.viz.drawing import draw, draw_folded

__all__ = ["draw", "draw_folded"]


def __getattr__(name: str) -> Any:
    """What draws when it is first named: a program that draws nothing need not import it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module("symgraph.viz.drawing"), name)
    globals()[name] = found
    return found
