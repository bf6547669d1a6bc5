"""derive_gradients: requests become the adjoint graph."""

import numpy as np
import pytest
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.derive_gradients import derive_gradients
from compiler.passes.fold_constants import fold_constants
from compiler.passes.merge_common import merge_common
from compiler.passes.simplify import simplify
from symgraph import nn
from symgraph.op import Kind
from symgraph.symbol import node_of

TIDY = (derive_gradients, merge_common, fold_constants, simplify)


def test_product_rule():
    x, y = sg.input("x", (3,)), sg.input("y", (3,))
    becomes(graph_of([x, y], *sg.grad(sg.sum(x * y), [x, y])), """
        %0 = input "x" : f32[3]
        %1 = input "y" : f32[3]
        outputs: %1, %0
        """, *TIDY)  # fmt: skip


def test_matrix_product_and_tanh():
    x, w = sg.input("x", ("n", 4)), nn.Parameter(np.ones((4, 3), np.float32), "w")
    becomes(graph_of([x], sg.grad(sg.sum(sg.tanh(x @ w)), w)), """
        %0 = input "x" : f32[n, 4]
        %1 = permute_dims(%0, axes=(1, 0)) : f32[4, n]
        %2 = constant(1.0) : f32[]
        %3 = broadcast_to(%2, shape=(n, 3)) : f32[n, 3]
        %4 = state "w" : f32[4, 3]
        %5 = matmul(%0, %4) : f32[n, 3]
        %6 = tanh(%5) : f32[n, 3]
        %7 = multiply(%6, %6) : f32[n, 3]
        %8 = subtract(%3, %7) : f32[n, 3]
        %9 = matmul(%1, %8) : f32[4, 3]
        outputs: %9
        """, *TIDY)  # fmt: skip


def test_a_value_used_twice_gets_the_sum():
    x = sg.input("x", (3,))
    becomes(graph_of([x], sg.grad(sg.sum(sg.exp(x) + sg.sin(x)), x)), """
        %0 = input "x" : f32[3]
        %1 = cos(%0) : f32[3]
        %2 = exp(%0) : f32[3]
        %3 = add(%1, %2) : f32[3]
        outputs: %3
        """, *TIDY)  # fmt: skip


def test_a_gradient_of_a_gradient():
    x = sg.input("x", ())
    slope = sg.grad(sg.sin(x), x)
    becomes(graph_of([x], sg.grad(slope, x)), """
        %0 = input "x" : f32[]
        %1 = constant(-1.0) : f32[]
        %2 = sin(%0) : f32[]
        %3 = multiply(%1, %2) : f32[]
        outputs: %3
        """, *TIDY)  # fmt: skip


def test_all_requests_of_one_loss_share_one_sweep():
    x, w, v = sg.input("x", ("n", 4)), nn.Parameter(np.ones((4, 3), "f")), nn.Parameter(np.ones((3, 2), "f"))
    loss = sg.sum(sg.tanh(x @ w) @ v)
    alone = derive_gradients(graph_of([x], sg.grad(loss, w)))
    together = derive_gradients(graph_of([x], *sg.grad(loss, [w, v, x])))
    # The two further gradients are two further products and their transposes, nothing else again.
    assert len(together.nodes) - len(alone.nodes) == 4


def test_a_loss_of_an_updated_value_keeps_its_node():
    x, w = sg.input("x", (3,)), nn.Parameter(np.ones(3, np.float32), "w")
    step = sg.grad(sg.sum(x * w), w)
    graph = derive_gradients(graph_of([x], updates={w: w - step * 0.1}))
    assert not [n for n in graph.nodes if n.op.kind is Kind.REQUEST]
    assert graph.updates[0][0] is node_of(w)


def test_new_nodes_stand_at_the_line_they_were_made_for():
    x = sg.input("x", (3,))
    y = sg.exp(sg.tanh(x))  # the line both rules work for
    graph = derive_gradients(graph_of([x], sg.grad(sg.sum(y), x)))
    here = y.node.location.line
    made = [n for n in graph.nodes if n.origin is not None and n.origin.maker == "derive_gradients"]
    assert {n.location.line for n in made if n.op.name in ("multiply", "subtract")} == {here}
    assert all(n.location.filename == __file__ for n in graph.nodes)


def test_a_stopped_path_beside_an_open_one():
    x = sg.input("x", (3,))
    becomes(graph_of([x], sg.grad(sg.sum(x * sg.stop_gradient(x)), x)), """
        %0 = input "x" : f32[3]
        outputs: %0
        """, *TIDY)  # fmt: skip


def test_a_broken_path_names_the_op_and_the_line():
    x = sg.input("x", (3,))
    with pytest.raises(sg.GradientError, match=r"the path breaks at greater : bool\[3\]"):
        sg.grad(sg.sum(sg.cast(x > 0, sg.float32)), x)


def test_a_diamond_is_not_walked_path_by_path():
    """x = x + x, a hundred times: the gradient is 2^100, found in one sweep."""
    x = sg.input("x", (), sg.float64)
    y = x
    for _ in range(100):
        y = y + y
    f = sg.function([x], sg.grad(y, x))
    assert f(np.float64(1.0)) == 2.0**100
