"""Running a graph with numpy, node by node: the plain meaning that compiled code is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from symgraph.dimension import Dim, evaluate
from symgraph.errors import InputError, NumericsError, ShapeError
from symgraph.graph import Graph, Node
from symgraph.loops import Loop, loops_of
from symgraph.op import Kind
from symgraph.symbol import CONSTANT, STATE
from symgraph.types import FLOATS


def run(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Values of all results (outputs, then updates). States are read, never changed."""
    values = dict(walk(graph, arrays))
    return [values[node] for node in graph.results]


def walk(graph: Graph, arrays: Sequence[np.ndarray]) -> Iterator[tuple[Node, np.ndarray]]:
    """Each node with its value, producers first."""
    values: dict[Node, np.ndarray] = dict(zip(graph.inputs, arrays, strict=True))
    for node in _steps(graph, values, _sizes(graph, arrays)):
        yield node, values[node]


def _steps(graph: Graph, values: dict[Node, np.ndarray], sizes: Mapping[str, int]) -> Iterator[Node]:
    """Fill `values`, which hold the inputs', node by node."""
    loops = {node: loop for loop in loops_of(graph.nodes) for node in loop.results}
    for node in graph.nodes:
        if node not in values and node in loops:
            values.update(_run_loop(loops[node], values, sizes))
        elif node not in values:
            values[node] = evaluate_node(node, values, sizes)
        yield node


def _run_loop(
    loop: Loop, values: Mapping[Node, np.ndarray], sizes: Mapping[str, int]
) -> dict[Node, np.ndarray]:
    """All results of a loop, step by step."""
    operands = [values[o] for o in loop.operands]
    carry, captured = operands[: loop.carries], operands[loop.first_captured :]
    steps = evaluate(loop.length, sizes)
    history = [carry]
    rows: list[list[np.ndarray]] = []
    for t in reversed(range(steps)) if loop.reverse else range(steps):
        given = [*carry, *(s[t] for s in operands[loop.carries : loop.first_captured]), *captured]
        inner = dict(zip(loop.body.inputs, given, strict=True))
        for _ in _steps(loop.body, inner, sizes):
            pass
        outputs = [inner[n] for n in loop.body.outputs]
        carry = outputs[: loop.carries]
        history.append(carry)
        rows.append(outputs[loop.carries :])
    return {node: _result(loop, node, carry, rows, history, sizes) for node in loop.results}


def _result(
    loop: Loop,
    node: Node,
    carry: Sequence[np.ndarray],
    rows: Sequence[Sequence[np.ndarray]],
    history: Sequence[Sequence[np.ndarray]],
    sizes: Mapping[str, int],
) -> np.ndarray:
    kind, number = node.attrs["result"]
    if kind == "last":
        return carry[number]
    place = loop.stacks.index(loop.source(node)) if kind == "stack" else number
    column = [row[place] for row in (rows if kind == "stack" else history)]
    shape = tuple(evaluate(e, sizes) for e in node.type.shape)
    return np.array(column[::-1] if loop.reverse else column, node.type.dtype).reshape(shape)


def evaluate_node(node: Node, values: Mapping[Node, np.ndarray], sizes: Mapping[str, int]) -> np.ndarray:
    if node.op is CONSTANT:
        return node.attrs["value"]
    if node.op is STATE:
        return node.attrs["state"].data
    assert node.op.evaluate is not None, f"{node.op.name} must be resolved before a graph is run"
    attrs = {name: _sized(value, sizes) for name, value in node.attrs.items()}
    try:
        with np.errstate(all="ignore"):
            return np.asarray(node.op.evaluate(*(values[i] for i in node.inputs), **attrs))
    except (InputError, ShapeError) as error:
        raise InputError(f"{error}\n  at {node.location.quote()}") from None
    except ValueError as error:  # numpy's own refusal, such as the maximum of nothing
        raise InputError(f"{node.op.name}: {error}\n  at {node.location.quote()}") from None


def check_numerics(graph: Graph, arrays: Sequence[np.ndarray]) -> None:
    """Raise NumericsError at the first node, in forward order, that makes a NaN or an infinity."""
    bad: set[Node] = set()
    for node, value in walk(graph, arrays):
        if node.type.dtype not in FLOATS or np.isfinite(value).all():
            continue
        if node.op.kind is Kind.SOURCE or not any(i in bad for i in node.inputs):
            what = "NaN" if np.isnan(value).any() else "an infinity"
            raise NumericsError(f"{node.name} : {node.type} makes {what}\n  at {node.location.quote()}")
        bad.add(node)


def _sizes(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for node, array in zip(graph.inputs, arrays, strict=True):
        for extent, size in zip(node.type.shape, array.shape, strict=True):
            if isinstance(extent, Dim) and extent == Dim.named(extent.names[0]):
                sizes[extent.names[0]] = size
    return sizes


def _sized(value: object, sizes: Mapping[str, int]) -> object:
    """Attributes with named dimensions replaced by their sizes, tuples included."""
    if isinstance(value, Dim):
        return evaluate(value, sizes)
    if isinstance(value, tuple):
        return tuple(_sized(v, sizes) for v in value)
    return value
