"""Pass: parameters and states become constants, for a function that is exported as it is now."""

from __future__ import annotations

from symgraph.errors import ExportError
from symgraph.graph import Graph, Node, transform
from symgraph.symbol import STATE, constant_node, made_for


def freeze_weights(graph: Graph) -> Graph:
    """state -> constant with its present value. Raises ExportError if the graph updates a state."""
    for state, value in graph.updates:
        raise ExportError(
            f"{state.name} is updated by the function, but exported weights are fixed; "
            f"export a function without updates\n  at {value.location.quote()}"
        )

    def visit(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not STATE:
            return None
        with made_for(node, "freeze_weights"):
            return constant_node(node.attrs["state"].data)

    return transform(graph, visit, "freeze_weights")
