"""In which order of its axes each value should lie in memory: the analysis behind channels_last."""

from __future__ import annotations

from compiler.passes.axis_groups import reshaped_order
from symgraph.graph import Graph, Node
from symgraph.op import Kind
from symgraph.ops.convolution import CONVOLUTION
from symgraph.ops.layout import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from symgraph.ops.linear import MATMUL
from symgraph.ops.random import UNIFORM

# How a value lies in memory: axis j there is the value's own axis order[j].
Order = tuple[int, ...]
ALONG = (PAD, SLICE, FLIP, CONCAT)  # every axis of the result is the operand's same axis


def memory_orders(graph: Graph) -> dict[Node, Order]:
    """The order of every value whose order follows from a convolution or a pooling; others are natural.

    Convolutions and poolings lie as they are written, what is made of them as they do, unless axes that
    memory takes apart are merged. Random numbers, what is made of them, and the columns of a matrix
    product that are taken for several axes lie as their readers do.
    """
    orders = _from_windows(graph)
    if orders:
        _wanted_by_readers(graph, orders)
    return orders


def natural(node: Node) -> Order:
    return tuple(range(node.type.rank))


def _from_windows(graph: Graph) -> dict[Node, Order]:
    """From convolutions and poolings forward."""
    orders: dict[Node, Order] = {}
    for node in graph.nodes:
        found = natural(node) if is_anchor(node) else _order_made(node, orders)
        if found is not None:
            orders[node] = found
    return orders


def is_anchor(node: Node) -> bool:
    return node.op is CONVOLUTION or node.op.kind is Kind.WINDOW


def _order_made(node: Node, orders: dict[Node, Order]) -> Order | None:
    order = next((orders[i] for i in node.inputs if i in orders), None)
    if order is None:
        return None
    if node.op.kind is Kind.ELEMENTWISE or node.op in ALONG:
        return order
    if node.op is PERMUTE:
        return tuple(node.attrs["axes"].index(a) for a in order)
    if node.op.kind is Kind.REDUCTION:
        kept = [a for a in natural(node.inputs[0]) if a not in node.attrs["axes"]]
        return tuple(kept.index(a) for a in order if a in kept)
    if node.op is RESHAPE:
        return reshaped_order(node.inputs[0].type.shape, node.type.shape, order)
    return None


def _wanted_by_readers(graph: Graph, orders: dict[Node, Order]) -> None:
    """From readers backward, to values that may lie anyhow: random numbers, and what is made of them."""
    free = _free(graph, orders)
    results = set(graph.results)
    for node in reversed(graph.nodes):
        if node not in orders:
            continue
        for operand in node.inputs:
            if operand in free and operand not in orders and operand not in results:
                wanted = _order_read(node, operand, orders[node])
                if wanted is not None:
                    orders[operand] = wanted


def _free(graph: Graph, orders: dict[Node, Order]) -> set[Node]:
    """Values that cost the same in any order."""
    free: set[Node] = set()
    for node in graph.nodes:
        through = node.op.kind is Kind.ELEMENTWISE or node.op is PERMUTE
        made = through and node.inputs and all(i in free for i in node.inputs)
        columns = node.op is RESHAPE and node.inputs[0].op is MATMUL
        number = node.op.kind is Kind.SOURCE and node.type.size == 1
        if node.op in (UNIFORM, BROADCAST) or made or columns or number:
            free.add(node)
    return free


def _order_read(reader: Node, operand: Node, order: Order) -> Order | None:
    if operand.op in (BROADCAST, RESHAPE) or operand.op.kind is Kind.SOURCE:
        return None  # a view is made for each reader
    if is_anchor(reader):
        return natural(operand)
    if reader.op is PERMUTE:
        return tuple(reader.attrs["axes"][a] for a in order)
    return order if reader.op.kind is Kind.ELEMENTWISE or reader.op in ALONG else None
