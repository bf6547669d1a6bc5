"""Backprop is the chain rule: one reverse sweep, used by the tape and by the compiler alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from symgraph.errors import CompileError, GradientError
from symgraph.graph import Node, topological
from symgraph.location import standing_at
from symgraph.loops import Loop, loops_of
from symgraph.op import Attrs, Kind, Op
from symgraph.types import FLOATS
from symgraph.value import Value

Key = TypeVar("Key", bound=Hashable)


class Step(NamedTuple):
    """An application of an op that the sweep goes back through.

    `keys` name the operands in the table of adjoints; `inputs`, `output` are what the rule computes with.
    """

    op: Op
    attrs: Attrs
    keys: Sequence[Any]
    inputs: Sequence[Value]
    output: Value


def pull_back(step: Step, gradient: Value, wanted: Sequence[bool]) -> list[tuple[Any, Value]]:
    """The vector-Jacobian product of one step: (key, gradient) for each wanted float operand."""
    if step.op.vjp is None:
        raise GradientError(f"{step.op.name} has no gradient")
    parts = step.op.vjp(*step.inputs, step.output, gradient, **step.attrs)
    if not isinstance(parts, tuple):
        parts = (parts,)
    found = []
    for key, value, part, want in zip(step.keys, step.inputs, parts, wanted, strict=True):
        if part is None or not want or value.dtype not in FLOATS:
            continue
        if part.type != value.type:
            raise CompileError(
                f"gradient rule of {step.op.name}: operand is {value.type}, its gradient {part.type}"
            )
        found.append((key, part))
    return found


def accumulate(adjoints: dict[Any, Value], parts: Iterable[tuple[Any, Value]]) -> None:
    """The sum rule: a value used several times receives the sum over its uses."""
    for key, part in parts:
        known = adjoints.get(key)
        adjoints[key] = part if known is None else known + part


def reaching(results: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """Nodes on a differentiable path from a source to a result."""
    on_path = set(sources)
    for node in topological(results):
        if node not in on_path and carries_gradient(node) and any(i in on_path for i in node.inputs):
            on_path.add(node)
    return on_path


def carries_gradient(node: Node) -> bool:
    return node.type.dtype in FLOATS and node.op.vjp is not None


def gradients_of(
    seeds: Mapping[Node, Value], wanted: Sequence[Node], values: Mapping[Node, Value]
) -> dict[Node, Value]:
    """Adjoints of `wanted` nodes, as values that build graph nodes, each at its forward node's line.

    `seeds` are the adjoints of what is differentiated; `values` gives each node on the way as an operand for
    the rules.
    """
    order = list(topological(seeds))
    on_path = reaching(seeds, wanted)
    adjoints: dict[Any, Value] = dict(seeds)
    # A loop's results have one step back between them, once the adjoints of all are known: at the first.
    loops = {loop.results[0]: loop for loop in loops_of(order)}
    for node in reversed(order):
        if not any(i in on_path for i in node.inputs):
            continue
        with standing_at(node.location):
            if node in loops:
                accumulate(adjoints, _back_through_loop(loops[node], adjoints, on_path, values))
            elif node in on_path and node.op.kind is not Kind.SCAN:
                accumulate(adjoints, _back_through(node, adjoints.get(node), on_path, values))
    return {node: adjoints[node] for node in wanted if node in adjoints}


def _back_through(
    node: Node, gradient: Value | None, on_path: set[Node], values: Mapping[Node, Value]
) -> list[tuple[Any, Value]]:
    if gradient is None:
        return []
    inputs = [values[i] for i in node.inputs]
    step = Step(node.op, node.attrs, node.inputs, inputs, values[node])
    return pull_back(step, gradient, [i in on_path for i in node.inputs])


def _back_through_loop(
    loop: Loop, adjoints: Mapping[Node, Value], on_path: set[Node], values: Mapping[Node, Value]
) -> list[tuple[Any, Value]]:
    """The rule of a scan takes the gradients of all its results; see symgraph/ops/scan_gradient.py."""
    given = {node: adjoints[node] for node in loop.results if node in adjoints}
    rule = loop.results[0].op.vjp
    if not given or rule is None:
        return []
    useful = [i in on_path for i in loop.operands]
    parts = rule(loop, [values[i] for i in loop.operands], given, useful)
    return [(key, part) for key, part in zip(loop.operands, parts, strict=True) if part is not None]


def explain_break(loss: Node, wanted: Node) -> str:
    """Why no gradient flows from `wanted` to `loss`: the first step of the path that breaks it."""
    order = list(topological([loss]))
    if wanted not in set(order):
        return "the loss does not depend on it"
    touched, alive = {wanted}, {wanted}
    for node in order:
        if node in touched or not any(i in touched for i in node.inputs):
            continue
        touched.add(node)
        if any(i in alive for i in node.inputs):
            if carries_gradient(node):
                alive.add(node)
            else:
                return f"the path breaks at {node.op.name} : {node.type}, {node.location.quote()}"
    return "the path is broken"
