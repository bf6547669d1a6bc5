"""Pass: inside a network memory is channels last. Permutations around convolutions and poolings move through
what stands between them until they meet."""

from __future__ import annotations

from dataclasses import dataclass, field

from compiler.passes.memory_order import Order, is_anchor, memory_orders, natural
from symgraph.graph import Graph, Node, copy_with
from symgraph.op import Kind
from symgraph.ops.layout import (
    BROADCAST,
    CONCAT,
    FLIP,
    PAD,
    PERMUTE,
    RESHAPE,
    SLICE,
    broadcast_to,
    permute_dims,
    reshape,
)
from symgraph.ops.random import UNIFORM
from symgraph.symbol import Symbol, made_for
from symgraph.types import TensorType
from symgraph.value import Value

MAKER = "channels_last"
PER_AXIS = {PAD: "widths", SLICE: "bounds"}  # attributes with an entry for each axis


def channels_last(graph: Graph) -> Graph:
    """f(permute(x), permute(y)) = permute(f(x, y)), for elementwise f, reductions, pads, slices, flips,
    concats and reshapes that keep the order; permute(permute(x)) = x where they cancel.
    """
    orders = memory_orders(graph)
    return _Rebuilt(orders).graph(graph) if orders else graph


@dataclass(slots=True)
class _Rebuilt:
    """New nodes in the order that is chosen for each, and views of them in others."""

    orders: dict[Node, Order]
    new: dict[Node, Node] = field(default_factory=dict)
    views: dict[tuple[Node, Order], Node] = field(default_factory=dict)

    def graph(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            with made_for(node, MAKER):
                self.new[node] = self._made(node)
        return graph.with_results([self._as(n, natural(n)) for n in graph.results])

    def _as(self, node: Node, order: Order) -> Node:
        """The value with its axes in an order."""
        own = self.orders.get(node, natural(node))
        if own == order:
            return self.new[node]
        if (node, order) not in self.views:
            with made_for(node, MAKER):
                self.views[node, order] = self._view(node, own, order)
        return self.views[node, order]

    def _view(self, node: Node, own: Order, order: Order) -> Node:
        if node.op is not BROADCAST:
            return _node(permute_dims(Symbol(self.new[node]), tuple(own.index(a) for a in order)))
        source = Symbol(self._as(node.inputs[0], natural(node.inputs[0])))
        ones = (1,) * (node.type.rank - source.ndim)
        lead = reshape(source, (*ones, *source.shape))
        shape = tuple(node.type.shape[a] for a in order)
        return _node(broadcast_to(_permuted_small(lead, order), shape))

    def _made(self, node: Node) -> Node:
        order = self.orders.get(node)
        if order is None or is_anchor(node) or node.op is BROADCAST:
            inputs = tuple(self._as(i, natural(i)) for i in node.inputs)
            return node if inputs == node.inputs else copy_with(node, inputs, MAKER)
        (first, *_) = node.inputs
        if node.op is PERMUTE:
            return self._as(first, tuple(node.attrs["axes"][a] for a in order))
        if node.op is UNIFORM:
            inputs, attrs = node.inputs, {**node.attrs, "order": order}
            return self._node_like(node, inputs, attrs, order)
        if node.op.kind is Kind.REDUCTION or node.op is RESHAPE:
            theirs = self.orders[first]
            inputs = (self._as(first, theirs),)
            if node.op is RESHAPE:
                return _node(reshape(Symbol(inputs[0]), tuple(node.type.shape[a] for a in order)))
            axes = tuple(sorted(theirs.index(a) for a in node.attrs["axes"]))
            return self._node_like(node, inputs, {**node.attrs, "axes": axes}, order)
        inputs = tuple(self._as(i, order) for i in node.inputs)
        return self._node_like(node, inputs, _moved(node, order), order)

    def _node_like(self, node: Node, inputs: tuple[Node, ...], attrs: dict, order: Order) -> Node:
        if inputs == node.inputs and order == natural(node):
            return node
        made = _node(Symbol.apply(node.op, tuple(Symbol(i) for i in inputs), attrs))
        assert made.type == TensorType(tuple(node.type.shape[a] for a in order), node.type.dtype)
        return made


def _moved(node: Node, order: Order) -> dict:
    """Attributes that speak of axes, for another order of them."""
    attrs = dict(node.attrs)
    if node.op in PER_AXIS:
        name = PER_AXIS[node.op]
        attrs[name] = tuple(attrs[name][a] for a in order)
    elif node.op is FLIP:
        attrs["axes"] = tuple(sorted(order.index(a) for a in attrs["axes"]))
    elif node.op is CONCAT:
        attrs["axis"] = order.index(attrs["axis"])
    return attrs


def _permuted_small(x: Value, order: Order) -> Value:
    """A reshape says it where axes of size 1 alone change places."""
    large = [a for a in order if x.shape[a] != 1]
    return reshape(x, tuple(x.shape[a] for a in order)) if large == sorted(large) else permute_dims(x, order)


def _node(value: object) -> Node:
    assert isinstance(value, Symbol)
    return value.node
