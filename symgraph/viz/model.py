"""The layers of a module as a picture."""

from __future__ import annotations

from symgraph.eager import Parameter, State
from symgraph.nn.module import Module
from symgraph.nn.sequential import Sequential
from symgraph.viz.caption import LONGEST_TOOLTIP, cut
from symgraph.viz.picture import Box, Edge, Picture, Role


def module_picture(module: Module, title: str) -> Picture:
    """A box for each layer with its parameters; lines lead to the layers it holds, in a Sequential from one
    layer to the next. (The computation itself is drawn from a Symbol: `draw(model(x), path)`.)"""
    boxes: list[Box] = []
    edges: list[Edge] = []
    place: dict[int, int] = {}
    for path, part in module.named_modules():
        place[id(part)] = len(boxes)
        boxes.append(_box(path, part))
    for _, part in module.named_modules():
        above = place[id(part)]
        for _, child in part.named_children():
            edges.append(Edge(above, place[id(child)]))
            if isinstance(part, Sequential):
                above = place[id(child)]
    forward = dict.fromkeys((e.source, e.target) for e in edges if e.source < e.target)
    return Picture(title=title, boxes=tuple(boxes), edges=tuple(Edge(*pair) for pair in forward))


def _box(path: str, part: Module) -> Box:
    kind, options = type(part).__name__, part.extra_repr()
    states = [(name, value) for name, value in vars(part).items() if isinstance(value, State)]
    lines = [cut(f"{path}: {kind}" if path else kind)]
    lines += [cut(options, 44)] if options else []
    lines += [cut(f"{name} {value.type}") for name, value in states if isinstance(value, Parameter)]
    if not path:
        total = sum(parameter.data.size for parameter in part.parameters())
        lines.append(f"{total:,} parameters")
    kept = [f"{name} {value.type}" for name, value in states]
    tip = "\n".join(cut(line, LONGEST_TOOLTIP) for line in (part.label, *kept))
    return Box(role=Role.MODULE, lines=tuple(lines), tooltip=tip, heavy=bool(states))
