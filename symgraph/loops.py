"""Loops in a graph: scan nodes over one body and the same operands are the results of one loop.

A scan node is one result: the last value of a carry, a value of every step stacked along a new first axis, or
a carry's whole history. So it is a node like any other to whatever does not care for loops, and a result that
nobody reads is not there. `loops_of` finds the nodes that run as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from symgraph.dimension import Extent
from symgraph.errors import GraphError, ShapeError
from symgraph.graph import Graph, Node, Origin, copy_with, topological, transform
from symgraph.op import Kind, Op
from symgraph.types import TensorType

Visit = Callable[[Node, tuple[Node, ...]], Node | None]
Result = tuple[str, int]  # ("last" or "history", number of a carry), ("stack", number of a stacked value)


def _infer_scan(
    *types: TensorType,
    body: Graph,
    carries: int,
    sequences: int,
    length: Extent,
    reverse: bool,
    result: Result,
) -> TensorType:
    check_body(body, carries)
    wanted = [n.type for n in body.inputs]
    for place in range(carries, carries + sequences):
        wanted[place] = stacked(wanted[place], length)
    if list(types) != wanted:
        raise ShapeError(f"scan: operands are {list(types)}, the body wants {wanted}")
    kind, number = result
    value = body.outputs[number + (carries if kind == "stack" else 0)].type
    return value if kind == "last" else stacked(value, length if kind == "stack" else length + 1)


def check_body(body: Graph, carries: int) -> None:
    """A body reads its own inputs alone, changes no state, and leaves every carry's type as it is."""
    declared = set(body.inputs)
    for node in body.nodes:
        outside = "state" in node.attrs or node.op.name == "input"
        if outside and node.op.kind is Kind.SOURCE and node not in declared:
            raise GraphError(f"scan: the body reads {node.name} past its operands")
    if body.updates or body.checks:
        raise GraphError("scan: a body has no updates and no checks")
    for before, after in zip(body.inputs[:carries], body.outputs[:carries], strict=True):
        if before.type != after.type:
            raise ShapeError(f"scan: a carry is {before.type} before the step and {after.type} after it")


SCAN = Op(
    "scan",
    Kind.SCAN,
    _infer_scan,
    doc="One result of a loop over `length` steps. Its vjp takes all results of a loop.",
)


def stacked(kind: TensorType, length: Extent) -> TensorType:
    return TensorType((length, *kind.shape), kind.dtype)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Loop:
    """`body` maps (carries..., one row of each sequence..., captured values...) to (new carries..., values to
    stack...); `operands` stand in that order. `results` are the loop's scan nodes, in the graph's order.
    """

    body: Graph
    carries: int
    sequences: int
    length: Extent
    reverse: bool
    operands: tuple[Node, ...]
    results: tuple[Node, ...] = ()

    @property
    def first_captured(self) -> int:
        return self.carries + self.sequences

    @property
    def stacks(self) -> tuple[Node, ...]:
        """The body's nodes whose value of every step is kept."""
        return self.body.outputs[self.carries :]

    def attrs(self, result: Result) -> dict[str, Any]:
        return {
            "body": self.body,
            "carries": self.carries,
            "sequences": self.sequences,
            "length": self.length,
            "reverse": self.reverse,
            "result": result,
        }

    def source(self, result: Node) -> Node:
        """The body's node that a result is made of."""
        kind, number = result.attrs["result"]
        return result.attrs["body"].outputs[number + (self.carries if kind == "stack" else 0)]

    def node(self, result: Result, model: Node, maker: str) -> Node:
        """A result of this loop, standing at the line of `model`."""
        attrs = self.attrs(result)
        kind = SCAN.infer(*(o.type for o in self.operands), **attrs)
        return Node(
            op=SCAN, inputs=self.operands, attrs=attrs, type=kind, location=model.location,
            origin=Origin(model, maker),
        )  # fmt: skip

    def with_stacks(self, stacks: Iterable[Node]) -> Loop:
        """The loop that keeps these values of its body, each once."""
        outputs = (*self.body.outputs[: self.carries], *dict.fromkeys(stacks))
        return replace(self, body=replace(self.body, outputs=outputs))

    def results_like(self, old: Loop, moved: Mapping[Node, Node], maker: str) -> dict[Node, Node]:
        """For each result of `old` the same result of this loop, whose body has moved[n] in place of n."""
        places = {node: number for number, node in enumerate(self.stacks)}
        made: dict[Node, Node] = {}
        known: dict[Result, Node] = {}
        for node in old.results:
            kind, number = node.attrs["result"]
            if kind == "stack":
                source = old.source(node)
                number = places[moved.get(source, source)]
            if (kind, number) not in known:
                known[kind, number] = self.node((kind, number), node, maker)
            made[node] = known[kind, number]
        return made


def loops_of(nodes: Iterable[Node]) -> list[Loop]:
    """The loops among nodes. What only some results of a loop keep of its body is kept by the loop."""
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        if node.op is SCAN:
            groups.setdefault(_key(node), []).append(node)
    return [_united(members) for members in groups.values()]


def _key(node: Node) -> Any:
    attrs = node.attrs
    body: Graph = attrs["body"]
    new = body.outputs[: attrs["carries"]]
    return body.inputs, new, node.inputs, attrs["sequences"], attrs["length"], attrs["reverse"]


def _united(members: Sequence[Node]) -> Loop:
    first = members[0]
    attrs = {key: value for key, value in first.attrs.items() if key != "result"}
    loop = Loop(**attrs, operands=first.inputs, results=tuple(members))
    return loop.with_stacks(loop.source(m) for m in members if m.attrs["result"][0] == "stack")


def _unchanged(node: Node, inputs: tuple[Node, ...]) -> None:
    return None


def transform_loops(
    graph: Graph, change: Callable[[Loop], Mapping[Node, Node]], maker: str, others: Visit = _unchanged
) -> Graph:
    """Rebuild a graph bottom-up; `change` gives for each result of a loop, on its new operands, a node.

    `others` visits the other nodes, as in `transform`.
    """
    loop_of = {node: loop for loop in loops_of(graph.nodes) for node in loop.results}
    if not loop_of:
        return graph
    made: dict[Node, Node] = {}

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not SCAN:
            return others(node, inputs)
        if node not in made:
            made.update(change(replace(loop_of[node], operands=inputs)))
        return made[node]

    return transform(graph, visit, maker)


def in_bodies(step: Callable[[Graph], Graph], graph: Graph, *, maker: str) -> Graph:
    """The pass applied to the body of every loop, innermost first, and then to the graph."""

    def change(loop: Loop) -> Mapping[Node, Node]:
        old = loop.body
        new = in_bodies(step, old, maker=maker)
        same = all(r.inputs == loop.operands for r in loop.results)
        if new is old or (new.outputs == old.outputs and same):
            return {r: r for r in loop.results}
        moved = dict(zip(old.outputs[loop.carries :], new.outputs[loop.carries :], strict=True))
        kept = replace(loop, body=new)
        return kept.with_stacks(kept.stacks).results_like(loop, moved, maker)

    return step(transform_loops(graph, change, maker))


def substitute(results: Sequence[Node], instead: Mapping[Node, Node], maker: str) -> list[Node]:
    """The results with other nodes in the place of some that they are made of."""
    new: dict[Node, Node] = dict(instead)
    for node in topological(results, stop=instead):
        inputs = tuple(new[i] for i in node.inputs)
        new[node] = node if inputs == node.inputs else copy_with(node, inputs, maker)
    return [new[node] for node in results]
