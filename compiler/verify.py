"""The verifier: what must hold of a graph between any two passes."""

from __future__ import annotations

from symgraph.dimension import names_of
from symgraph.errors import CompileError
from symgraph.graph import Graph, Node
from symgraph.loops import SCAN
from symgraph.op import Kind
from symgraph.symbol import INPUT

NONE: frozenset[str] = frozenset()


def verify(graph: Graph, after: str, known: set[Node] | None = None, names: frozenset[str] = NONE) -> None:
    """Raise CompileError, naming the pass and the node, if a type does not follow from its operands.

    Nodes never change, so those in `known` were found right before; the others are added to it. `names` are
    dimensions that a graph around this one binds, whose loops' bodies are checked like any graph.
    """
    known = set() if known is None else known
    declared = set(graph.inputs)
    names |= frozenset(names_of(e for node in graph.inputs for e in node.type.shape))
    for node in graph.nodes:
        if node.op is INPUT and node not in declared:
            raise CompileError(f"after {after}: input {node.name} is used but not declared")
        if node not in known:
            _check_type(node, after)
            if node.op is SCAN:
                verify(node.attrs["body"], after, known, names)
            known.add(node)
    _check_updates(graph, after)
    _check_names(graph, after, names)


def _check_type(node: Node, after: str) -> None:
    if node.op.kind is Kind.SOURCE or node.op.kind is Kind.RANDOM or _is_copy(node):
        return
    inferred = node.op.infer(*(i.type for i in node.inputs), **node.attrs)
    if inferred != node.type:
        raise CompileError(
            f"after {after}: {node.op.name} is {node.type}, but its operands make {inferred}\n"
            f"  at {node.location.quote()}"
        )


def _is_copy(node: Node) -> bool:
    """Whether a pass made it from a node that was right, on operands of the same types."""
    if node.origin is None:
        return False
    old = node.origin.node
    if old.op is not node.op or old.attrs is not node.attrs or old.type != node.type:
        return False
    return [i.type for i in old.inputs] == [i.type for i in node.inputs]


def _check_updates(graph: Graph, after: str) -> None:
    seen: set[Node] = set()
    for state, value in graph.updates:
        if state in seen:
            raise CompileError(f"after {after}: state {state.name} is updated twice")
        seen.add(state)
        if state.type != value.type:
            raise CompileError(f"after {after}: {state.name} is {state.type}, its new value {value.type}")


def _check_names(graph: Graph, after: str, known: frozenset[str]) -> None:
    """A named dimension of a result must be bound by an input."""
    for node in graph.results:
        for name in names_of(node.type.shape):
            if name not in known:
                raise CompileError(f"after {after}: dimension {name} of {node.op.name} comes from no input")
