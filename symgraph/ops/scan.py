"""`sg.scan`: a loop over the steps of sequences. Eagerly a Python loop; a graph's body is traced once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from symgraph.dimension import Extent
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.graph import Graph, Node
from symgraph.loops import SCAN, Loop, substitute
from symgraph.op import Kind
from symgraph.ops.casting import cast
from symgraph.ops.function import telling_where
from symgraph.ops.indexing import getitem
from symgraph.ops.layout import broadcast_to, stack
from symgraph.ops.phase import CARRY, READ, read_node
from symgraph.ops.reduce import sum_
from symgraph.structure import encode, flatten, map_structure
from symgraph.symbol import CONSTANT, STATE, Symbol, input, make_node, recorded
from symgraph.types import FLOATS, TensorType
from symgraph.value import EAGER, Value, as_array

Body = Callable[[Any, Any], tuple[Any, Any]]


@telling_where
def scan(
    body: Body, init: Any, xs: Any = None, length: Any = None, reverse: bool = False
) -> tuple[Any, Any]:
    """`carry, y = body(carry, x)` for each x along the first axis of `xs`; returns (last carry, stacked ys).

    `init`, `xs`, the carry and y are values or structures (lists, tuples, dicts) of them; a None in them is
    nothing. `length` is needed where there are no xs. `reverse` goes from the last x to the first; ys stay in
    the order of xs. A carry keeps its structure and its types: ShapeError or DTypeError where a step
    changes them. On Tensors a Python loop; on Symbols the body is called once, with Symbols, and the loop
    becomes part of the graph. What the body uses from around it (parameters, symbols) has its gradient too.
    """
    leaves = [leaf for _, leaf in leaves_of(init)] + [leaf for _, leaf in leaves_of(xs)]
    if any(isinstance(leaf, Symbol) for leaf in leaves):
        return _static(body, init, xs, length, reverse)
    return _eager(body, init, xs, length, reverse)


def leaves_of(structure: Any) -> list[tuple[str, Any]]:
    """(name, value) for every value of a structure; None is no value."""
    return [(name, leaf) for name, leaf in flatten(structure) if leaf is not None]


def with_leaves(structure: Any, values: Sequence[Any]) -> Any:
    """The structure with its values replaced, in the order of `leaves_of`."""
    left = iter(values)
    return map_structure(structure, lambda leaf: None if leaf is None else next(left))


def _length(xs: Sequence[tuple[str, Value]], length: Any) -> Extent:
    """The number of steps, on which all sequences and `length` agree."""
    found: dict[str, Extent] = {} if length is None else {"length=": length}
    for name, value in xs:
        if value.ndim == 0:
            raise ShapeError(f"scan: {_named('xs', name)} is {value.type}; it has no first axis to go along")
        found[_named("xs", name)] = value.shape[0]
    if not found:
        raise ShapeError("scan: without xs the number of steps is needed, length=")
    (first, steps), *others = found.items()
    for name, extent in others:
        if extent != steps:
            raise ShapeError(f"scan: sequences differ in length, {first} has {steps} and {name} {extent}")
    return steps


def _named(what: str, name: str) -> str:
    return what if name == "out" else f"{what}.{name}"


def _pair(made: Any) -> tuple[Any, Any]:
    if not isinstance(made, tuple) or len(made) != 2:
        raise GraphError(f"scan: the body returns (carry, y), got {type(made).__name__}")
    return made


def _check_carry(before: Any, after: Any, kinds: Sequence[tuple[str, TensorType]]) -> list[Value]:
    """The new carry's values, which have the old one's structure and types."""
    if encode(_without_values(before)) != encode(_without_values(after)):
        raise ShapeError(
            f"scan: the carry changes its structure, from {_outline(before)} to {_outline(after)}"
        )
    values = []
    for (name, kind), (_, value) in zip(kinds, leaves_of(after), strict=True):
        new = _eager_value(value)
        if new.type != kind:
            error = ShapeError if new.shape != kind.shape else DTypeError
            raise error(
                f"scan: {_named('carry', name)} changes its type, {kind} before the step and {new.type} "
                "after it; a carry keeps its type"
            )
        values.append(new)
    return values


def _without_values(structure: Any) -> Any:
    """Nothing but containers: a value as an empty list, None as an empty tuple."""
    return map_structure(structure, lambda leaf: () if leaf is None else [])


def _outline(structure: Any) -> str:
    return str(map_structure(structure, lambda leaf: None if leaf is None else _Shown()))


class _Shown:
    def __repr__(self) -> str:
        return "value"


# --- eager --------------------------------------------------------------------------------------


def _eager(body: Body, init: Any, xs: Any, length: Any, reverse: bool) -> tuple[Any, Any]:
    sequences = [(name, _eager_value(v)) for name, v in leaves_of(xs)]
    starts = [(name, _eager_value(v)) for name, v in leaves_of(init)]
    steps = _length(sequences, length)
    if not isinstance(steps, int):
        raise ShapeError(f"scan: {steps} steps; eagerly their number must be known")
    carry, kinds = with_leaves(init, [v for _, v in starts]), [(n, v.type) for n, v in starts]
    ys: list[Any] = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        new, ys[t] = _pair(body(carry, with_leaves(xs, [getitem(v, t) for _, v in sequences])))
        values = _check_carry(init, new, kinds)
        if any(isinstance(leaf, Symbol) for _, leaf in leaves_of((new, ys[t]))):
            # The body uses symbols from around it: the loop belongs to their graph.
            return _static(body, init, xs, length, reverse)
        carry = with_leaves(new, values)
    if not steps:
        return carry, _empty(body, carry, xs)
    rows = [[leaf for _, leaf in leaves_of(y)] for y in ys]
    return carry, with_leaves(ys[0], [stack(column) for column in zip(*rows, strict=True)])


def _empty(body: Body, carry: Any, xs: Any) -> Any:
    """Stacks of no steps; their types are found by tracing the body.

    They depend on what the loop is given, so that the gradient is zero and not missing.
    """
    given = [_eager_value(v) for _, v in (*leaves_of(carry), *leaves_of(xs))]
    symbols = [_input("carry", n, v.type) for n, v in leaves_of(carry)]
    rows = [_input("x", n, TensorType(v.shape[1:], v.dtype)) for n, v in leaves_of(xs)]
    with recorded() as made:
        _, y = _pair(body(with_leaves(carry, symbols), with_leaves(xs, rows)))
    kinds = [_symbol(v).type for _, v in leaves_of(y)]
    return with_leaves(y, [_nothing(kind, [*given, *made.met]) for kind in kinds])


def _nothing(kind: TensorType, given: Sequence[Value]) -> Value:
    value = _eager_value(np.zeros((0, *kind.shape), kind.dtype))
    for source in dict.fromkeys(given):
        if kind.dtype in FLOATS and source.dtype in FLOATS:
            value = value + broadcast_to(cast(sum_(source), kind.dtype), value.shape)
    return value


def _eager_value(value: Any) -> Value:
    return value if isinstance(value, Value) else EAGER[0].lift(as_array(value))


# --- static -------------------------------------------------------------------------------------


def _input(what: str, name: str, kind: TensorType) -> Symbol:
    return input(_named(what, name), kind.shape, kind.dtype)


def _symbol(value: Any) -> Symbol:
    return Symbol.enter(value) if isinstance(value, Value) else Symbol.lift(as_array(value))


class _Traced(NamedTuple):
    """A body as it was written: its own nodes, producers first, and what it was given and gave."""

    nodes: list[Node]
    inputs: list[Node]
    news: list[Node]
    ys: list[Node]


def _static(body: Body, init: Any, xs: Any, length: Any, reverse: bool) -> tuple[Any, Any]:
    starts = [(name, _symbol(v)) for name, v in leaves_of(init)]
    sequences = [(name, _symbol(v)) for name, v in leaves_of(xs)]
    steps = _length(sequences, length)
    carry = [_input("carry", n, v.type) for n, v in starts]
    rows = [_input("x", n, TensorType(v.shape[1:], v.dtype)) for n, v in sequences]
    with recorded() as made:
        new, y = _pair(body(with_leaves(init, carry), with_leaves(xs, rows)))
        news = [_symbol(v) for v in _check_carry(init, new, [(n, v.type) for n, v in starts])]
        ys = [_symbol(v) for _, v in leaves_of(y)]
    if steps == 0:
        zeros = [broadcast_to(Symbol.lift(np.zeros((), v.dtype)), (0, *v.shape)) for v in ys]
        return with_leaves(init, [v for _, v in starts]), with_leaves(y, zeros)
    roots = [v.node for v in news], [v.node for v in ys]
    traced = _Traced(_needed(made.nodes, [*roots[0], *roots[1]]), [s.node for s in (*carry, *rows)], *roots)
    results = _write(traced, [v.node for _, v in starts], [v.node for _, v in sequences], steps, reverse)
    return with_leaves(init, results[: len(news)]), with_leaves(y, results[len(news) :])


def _needed(made: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    needed = set(roots)
    for node in reversed(made):
        if node in needed:
            needed.update(node.inputs)
    return [n for n in made if n in needed]


def _write(
    traced: _Traced, starts: list[Node], sequences: list[Node], steps: Extent, reverse: bool
) -> list[Symbol]:
    """The loop's results: last carries, then stacks. States that the step changes are carried along."""
    reads = [n for n in traced.nodes if n.op is READ and n.inputs[0].op is STATE]
    states = list(dict.fromkeys(n.inputs[0] for n in reads))
    seen = {s: input(s.name, s.type.shape, s.type.dtype).node for s in states}
    instead = {n: make_node(READ, (seen[n.inputs[0]],), dict(n.attrs), n.type) for n in reads}
    captured = _captured(traced)
    instead.update({n: input(n.name, n.type.shape, n.type.dtype).node for n in captured})
    made = substitute((*traced.news, *traced.ys), instead, "scan")
    carries = len(starts)
    graph = Graph(
        inputs=(*traced.inputs[:carries], *(seen[s] for s in states), *traced.inputs[carries:],
                *(instead[n] for n in captured)),
        outputs=(*made[:carries], *(seen[s] for s in states), *made[carries:]),
    )  # fmt: skip
    outside = {s: read_node(Symbol(s)).node for s in states}
    loop = Loop(
        body=graph, carries=carries + len(states), sequences=len(sequences), length=steps, reverse=reverse,
        operands=(*starts, *outside.values(), *sequences, *captured),
    )  # fmt: skip
    kinds = [*(("last", i) for i in range(carries)), *(("stack", i) for i in range(len(traced.ys)))]
    results = [_result(loop, kind) for kind in kinds]
    for number, (state, read) in enumerate(outside.items(), start=carries):
        changes = [n for n in traced.nodes if n.op is CARRY and n.attrs["state"] is state.attrs["state"]]
        if changes:
            last = _result(loop, ("last", number))
            results = [_carrying(result, last, read, changes) for result in results]
    return results


def _inside(traced: _Traced) -> set[Node]:
    """What must be computed in each step: what depends on the carry, a row or a state that changes, and what
    lies between a gradient that the step asks for and what it is asked for."""
    asked = {n.inputs[1] for n in traced.nodes if n.op.kind is Kind.REQUEST}
    inside = set(traced.inputs)
    for node in traced.nodes:
        if node.op is READ or any(i in inside or i in asked for i in node.inputs):
            inside.add(node)
    return inside


def _captured(traced: _Traced) -> list[Node]:
    """What the step reads from around it, and what it would compute equally in every step. Layout and single
    numbers cost nothing, so they are written into the step instead."""
    inside = _inside(traced)
    reads = (i for n in traced.nodes if n in inside and n.op is not READ for i in n.inputs)
    stack = [n for n in dict.fromkeys((*reads, *traced.news, *traced.ys)) if n not in inside][::-1]
    found: dict[Node, None] = {}
    while stack:
        node = stack.pop()
        if node.op.kind is Kind.LAYOUT:
            stack.extend(reversed(node.inputs))
        elif not (node.op.name == "extent" or (node.op is CONSTANT and node.type.size == 1)):
            found[node] = None
    return list(found)


def _result(loop: Loop, kind: tuple[str, int]) -> Symbol:
    operands = tuple(Symbol(n) for n in loop.operands)
    return Symbol.apply(SCAN, operands, loop.attrs(kind))


def _carrying(result: Symbol, last: Symbol, read: Node, changes: Sequence[Node]) -> Symbol:
    """The result; and the state that the step changes gets the value that the last step leaves."""
    always = any(n.attrs["always"] for n in changes)
    attrs = {"state": changes[0].attrs["state"], "always": always}
    return Symbol.apply(CARRY, (result, last, Symbol(read)), attrs)
