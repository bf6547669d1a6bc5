"""An op over all steps of a loop at once: the same op with one axis more, the first.

Operands are given as nodes of the graph around the loop: stacked over the steps, or equal in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symgraph.dimension import Extent
from symgraph.graph import Node
from symgraph.op import Kind, Op
from symgraph.ops.gather import TAKE
from symgraph.ops.layout import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE, broadcast_to, reshape
from symgraph.ops.linear import MATMUL
from symgraph.symbol import Symbol


@dataclass(frozen=True, slots=True)
class Steps:
    """A value of the body outside of it: `node` is stacked over the steps, or the value of every step."""

    node: Node
    stacked: bool


Rule = Callable[[Node, Sequence[Steps], Extent], Symbol]


def over_all_steps(node: Node, operands: Sequence[Steps], length: Extent) -> Node:
    """The stack of a body's node over all steps, from its operands; some of them are stacked."""
    made = RULES[_family(node.op)](node, operands, length)
    return made.node


def has_rule(node: Node, stacked: Sequence[bool]) -> bool:
    """Whether `over_all_steps` knows the op, where these of its operands differ from step to step."""
    if node.op is TAKE:
        return not all(stacked)
    return _family(node.op) in RULES


def _family(op: Op) -> Op | Kind:
    return op.kind if op.kind in (Kind.ELEMENTWISE, Kind.REDUCTION) else op


def _lifted(value: Steps, length: Extent) -> Symbol:
    if value.stacked:
        return Symbol(value.node)
    return _symbol(broadcast_to(Symbol(value.node), (length, *value.node.type.shape)))


def _same(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
    return Symbol.apply(node.op, tuple(_lifted(o, length) for o in operands), dict(node.attrs))


def _reduction(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
    axes = tuple(a + 1 for a in node.attrs["axes"])
    return Symbol.apply(node.op, (Symbol(operands[0].node),), {"axes": axes})


def _broadcast(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
    source = operands[0].node.type.shape
    ones = (1,) * (node.type.rank - (len(source) - 1))
    aligned = reshape(Symbol(operands[0].node), (length, *ones, *source[1:]))
    return _symbol(broadcast_to(aligned, (length, *node.type.shape)))


def _reshape(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
    return _symbol(reshape(Symbol(operands[0].node), (length, *node.type.shape)))


def _moved(name: str) -> Rule:
    """Layout ops whose attribute counts axes, or has an entry for each."""

    def rule(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
        old = node.attrs[name]
        new = {
            "axes": lambda: (*((0,) if node.op is PERMUTE else ()), *(a + 1 for a in old)),
            "axis": lambda: old + 1,
            "bounds": lambda: ((0, length, 1), *old),
            "widths": lambda: ((0, 0, 0), *old),
        }[name]()
        values = tuple(_lifted(o, length) for o in operands)
        return Symbol.apply(node.op, values, {**node.attrs, name: new})

    return rule


def _take(node: Node, operands: Sequence[Steps], length: Extent) -> Symbol:
    """Of a table that changes, or at places that do: their axis then comes in where the places' axes go."""
    table, places = operands
    axis = node.attrs["axis"]
    if table.stacked:
        return Symbol.apply(TAKE, (Symbol(table.node), Symbol(places.node)), {"axis": axis + 1})
    found = Symbol.apply(TAKE, (Symbol(table.node), Symbol(places.node)), {"axis": axis})
    order = (axis, *(a for a in range(node.type.rank + 1) if a != axis))
    return Symbol.apply(PERMUTE, (found,), {"axes": order}) if axis else found


RULES: dict[Op | Kind, Rule] = {
    Kind.ELEMENTWISE: _same, Kind.REDUCTION: _reduction, MATMUL: _same, BROADCAST: _broadcast,
    RESHAPE: _reshape, PERMUTE: _moved("axes"), FLIP: _moved("axes"), SLICE: _moved("bounds"),
    PAD: _moved("widths"), CONCAT: _moved("axis"), TAKE: _take,
}  # fmt: skip


def _symbol(value: object) -> Symbol:
    assert isinstance(value, Symbol)
    return value
