"""The words of a picture: titles of boxes, tooltips, names cut to a readable length."""

from __future__ import annotations

from collections.abc import Sequence

from symgraph.graph import Node
from symgraph.op import Kind
from symgraph.text import array_text, attribute_text, node_text, printable, shown_attributes
from symgraph.viz.picture import Role

LONGEST = 36  # characters of a line in a box
LONGEST_TOOLTIP = 400
# Attributes that a box does not show: the types on edges say them, or the tooltip does.
UNSAID = ("shape", "dtype", "state", "always", "bounds", "widths", "what", "extent")


def cut(text: str, limit: int = LONGEST) -> str:
    """One printable line of at most `limit` characters."""
    line = printable(text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def source_lines(node: Node, role: Role) -> tuple[str, ...]:
    if role is not Role.CONSTANT:
        return cut(node.name), cut(str(node.type))
    if "value" in node.attrs:
        return cut(array_text(node.attrs["value"]), 22), cut(str(node.type))
    return (inline_text(node),)


def inline_text(node: Node) -> str:
    """A scalar constant or the size of an axis, written where it is used."""
    value = node.attrs["value"] if "value" in node.attrs else node.attrs.get("extent", node.op.name)
    return cut(array_text(value.reshape(())) if "value" in node.attrs else str(value), 14)


def op_lines(node: Node, operands: Sequence[str | None], name: str | None) -> tuple[str, ...]:
    """Title and attributes of a computed node. `operands` holds a text for each that has no box."""
    title = node.op.name
    if any(text is not None for text in operands):
        title += f"({', '.join('·' if text is None else text for text in operands)})"
    if name is not None:
        title = f"{name} = {title}"
    if node.op.kind is Kind.PHASE and len(operands) == 2:
        return cut(title), "training | inference"
    details = ", ".join(f"{k}={attribute_text(v)}" for k, v in shown_attributes(node) if k not in UNSAID)
    return (cut(title), cut(details)) if details else (cut(title),)


def tooltip(node: Node) -> str:
    """The node's line of the text form, the user's line, and the pass that made it."""
    lines = [node_text(node), f"at {node.location.quote()}"]
    if node.origin is not None:
        lines.append(f"made by {node.origin.maker} for {node.origin.node.name}")
    return "\n".join(cut(line, LONGEST_TOOLTIP) for line in lines)


def is_inline(node: Node) -> bool:
    """Whether a source is small enough to be written into its users' boxes."""
    if node.op.kind is not Kind.SOURCE or "name" in node.attrs:
        return False
    return "extent" in node.attrs or ("value" in node.attrs and node.attrs["value"].size == 1)


def update_lines(states: Sequence[Node], ops: int, shared: bool) -> tuple[str, ...]:
    """A box for the new values of some states: `update w`, `with w.m, w.v`, `12 ops`."""
    lines = [cut(f"update {states[0].name}")]
    if states[1:]:
        lines.append(cut("with " + ", ".join(state.name for state in states[1:])))
    if shared:
        lines.append("for all updates")
    elif ops > 1:
        lines.append(f"{ops} ops")
    return tuple(lines)
