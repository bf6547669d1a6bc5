"""Pictures of graphs, tapes and models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symgraph.viz.draw import draw

__all__ = ["draw"]


def __getattr__(name: str) -> Any:
    """`draw` when it is first named: a program that draws nothing need not import what draws."""
    if name != "draw":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module("symgraph.viz.draw")  # which then stands under the function's name
    globals()[name] = module.draw
    return module.draw
