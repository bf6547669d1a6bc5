"""Pass: loops carry, read and keep only what their results need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from symgraph.graph import Graph, Node, topological
from symgraph.loops import Loop, substitute, transform_loops
from symgraph.op import Kind
from symgraph.ops.layout import BROADCAST, broadcast_to, reshape
from symgraph.symbol import CONSTANT, Symbol, input, made_for

MAKER = "tidy_loops"


def tidy_loops(graph: Graph) -> Graph:
    """scan(f; c, x, p) -> the same results of a scan without carries that do not reach them, and where

        a carry that no step changes is captured            (c, x) -> (c, y)  =  x -> y with c fixed
        a sequence of equal rows is captured                x_t = x_0 for all t
        layout and single numbers are written into the step  f(c, x, view(p)) = g(c, x, p)
        operands that are one value come in once.
    """
    return transform_loops(graph, lambda loop: _Tidied(loop).results(), MAKER)


@dataclass(slots=True)
class _Operands:
    """Body inputs with the operand of each; an operand that is there already is not taken again."""

    pairs: dict[Node, Node] = field(default_factory=dict)

    def take(self, operand: Node, inner: Node) -> Node:
        return self.pairs.setdefault(operand, inner)


class _Tidied:
    def __init__(self, loop: Loop):
        self.loop, self.body = loop, loop.body
        self.instead: dict[Node, Node] = {}
        self.sequences, self.captured = _Operands(), _Operands()
        self.fixed: dict[int, Node] = {}
        self.carries: list[int] = []

    def results(self) -> Mapping[Node, Node]:
        loop, body = self.loop, self.body
        used = self._used()
        for k in range(loop.carries):
            if body.outputs[k] is body.inputs[k]:
                self.fixed[k] = loop.operands[k]
                self._capture(body.inputs[k], loop.operands[k])
            elif body.outputs[k] in used:
                self.carries.append(k)
        for place in range(loop.carries, len(body.inputs)):
            inner, operand = body.inputs[place], loop.operands[place]
            if inner not in used:
                continue
            row = _equal_row(operand, loop) if place < loop.first_captured else operand
            if row is None:
                self.instead[inner] = self.sequences.take(operand, inner)
            else:
                self._capture(inner, row)
        return self._rebuilt()

    def _used(self) -> set[Node]:
        """The body's nodes that results are made of, and new carries that those depend on, step by step."""
        loop, body = self.loop, self.body
        wanted = [loop.source(node) for node in loop.results]
        wanted += [body.inputs[n.attrs["result"][1]] for n in loop.results if n.attrs["result"][0] != "stack"]
        carry_of = dict(zip(body.inputs[: loop.carries], body.outputs, strict=False))
        used: set[Node] = set()
        while wanted:
            more = list(topological(wanted, stop=used))
            used.update(more)
            wanted = [carry_of[n] for n in more if n in carry_of and carry_of[n] not in used]
        return used

    def _capture(self, inner: Node, operand: Node) -> None:
        """The operand's layout inside the step, over what it is a view of."""
        new = {leaf: self._leaf(leaf, inner) for leaf in _leaves(operand)}
        (self.instead[inner],) = substitute([operand], new, MAKER)

    def _leaf(self, leaf: Node, inner: Node) -> Node:
        if leaf.op.name == "extent" or (leaf.op is CONSTANT and leaf.type.size == 1):
            return leaf
        same = inner.type == leaf.type and inner not in self.captured.pairs.values()
        with made_for(inner, MAKER):
            made = inner if same else input(leaf.name, leaf.type.shape, leaf.type.dtype).node
        return self.captured.take(leaf, made)

    def _rebuilt(self) -> Mapping[Node, Node]:
        loop, body = self.loop, self.body
        starts = {body.inputs[k]: loop.operands[k] for k in self.carries}
        sequences = {inner: operand for operand, inner in self.sequences.pairs.items()}
        captured = {inner: operand for operand, inner in self.captured.pairs.items()}
        pairs = {**starts, **sequences, **captured}
        outputs = [body.outputs[k] for k in self.carries] + list(loop.stacks)
        made = substitute(outputs, self.instead, MAKER)
        new = replace(
            loop, body=Graph(inputs=tuple(pairs), outputs=tuple(made)), carries=len(starts),
            sequences=len(sequences), operands=tuple(pairs.values()),
        )  # fmt: skip
        new = new.with_stacks(new.stacks)
        moved = dict(zip(loop.stacks, made[len(starts) :], strict=True))
        return self._answers(new, moved)

    def _answers(self, new: Loop, moved: Mapping[Node, Node]) -> Mapping[Node, Node]:
        loop, found = self.loop, {}
        for node in loop.results:
            kind, number = node.attrs["result"]
            if kind == "stack":
                found[node] = new.node((kind, new.stacks.index(moved[loop.source(node)])), node, MAKER)
            elif number in self.fixed:
                found[node] = self.fixed[number] if kind == "last" else _repeated(self.fixed[number], node)
            else:
                found[node] = new.node((kind, self.carries.index(number)), node, MAKER)
        return found


def _leaves(operand: Node) -> list[Node]:
    """What an operand is a view of."""
    found: dict[Node, None] = {}
    stack = [operand]
    while stack:
        node = stack.pop()
        if node.op.kind is Kind.LAYOUT:
            stack.extend(reversed(node.inputs))
        else:
            found[node] = None
    return list(found)


def _equal_row(operand: Node, loop: Loop) -> Node | None:
    """The row that a sequence repeats, if it is a broadcast along its first axis."""
    if operand.op is not BROADCAST or loop.length == 1:
        return None
    (source,) = operand.inputs
    lead = operand.type.rank - source.type.rank
    if lead == 0 and source.type.shape[0] != 1:
        return None
    with made_for(operand, MAKER):
        value = Symbol(source) if lead else reshape(Symbol(source), source.type.shape[1:])
        row = broadcast_to(value, operand.type.shape[1:])
    assert isinstance(row, Symbol)
    return row.node


def _repeated(value: Node, result: Node) -> Node:
    with made_for(result, MAKER):
        made = broadcast_to(Symbol(value), result.type.shape)
    assert isinstance(made, Symbol)
    return made.node
