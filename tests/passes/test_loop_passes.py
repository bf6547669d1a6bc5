"""Passes on loops: golden texts, and that each leaves every value as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pass_text
import pytest
from pass_text import becomes

import symgraph as sg
from compiler import pipeline
from compiler.passes.accumulate_sums import accumulate_sums
from compiler.passes.derive_gradients import derive_gradients
from compiler.passes.keep_histories import keep_histories
from compiler.passes.merge_products import merge_products
from compiler.passes.move_out_of_loops import move_out_of_loops
from compiler.passes.tidy_loops import tidy_loops
from symgraph import nn, reference
from symgraph.graph import Graph
from symgraph.loops import loops_of

X = sg.input("x", ("time", 3, 4))
W = sg.input("w", (4, 2))
H = sg.input("h", (3, 2))


def graph_of(*outputs: Any) -> Graph:
    return pass_text.graph_of([X, W, H], *outputs)


def check_values(before: Graph, after: Graph) -> None:
    rng = np.random.default_rng(0)
    for time in (1, 5):
        shapes = [[time if not isinstance(e, int) else e for e in n.type.shape] for n in before.inputs]
        arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
        for old, new in zip(reference.run(before, arrays), reference.run(after, arrays), strict=True):
            np.testing.assert_allclose(new, old, rtol=2e-5, atol=1e-5)


def test_products_of_rows_and_of_results_leave_the_loop():
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        h = sg.tanh(x @ W + h)
        return h, sg.sum(h * 2.0, axis=1)

    graph = graph_of(sg.scan(cell, H, X)[1])
    becomes(
        graph,
        """
        %0 = input "x" : f32[time, 3, 4]
        %1 = input "w" : f32[4, 2]
        %2 = input "h" : f32[3, 2]
        %3 = reshape(%0, shape=(3*time, 4)) : f32[3*time, 4]
        %4 = matmul(%3, %1) : f32[3*time, 2]
        %5 = reshape(%4, shape=(time, 3, 2)) : f32[time, 3, 2]
        %6 = scan(%2, %5, body=@1, carries=1, length=time, result=("stack", 0), \
reverse=False, sequences=1) : f32[time, 3, 2]
        %7 = constant(2.0) : f32[]
        %8 = broadcast_to(%7, shape=(3, 2)) : f32[3, 2]
        %9 = broadcast_to(%8, shape=(time, 3, 2)) : f32[time, 3, 2]
        %10 = multiply(%6, %9) : f32[time, 3, 2]
        %11 = sum(%10, axes=(2,)) : f32[time, 3]
        outputs: %11

        graph @1
        %0 = input "carry" : f32[3, 2]
        %1 = input "matmul" : f32[3, 2]
        %2 = add(%1, %0) : f32[3, 2]
        %3 = tanh(%2) : f32[3, 2]
        outputs: %3, %3
        """,
        move_out_of_loops, merge_products, tidy_loops,
    )  # fmt: skip
    check_values(graph, tidy_loops(merge_products(move_out_of_loops(graph))))


def test_a_history_is_kept_instead_of_two_stacks():
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        new = sg.tanh(h + sg.sum(x))
        return new, (h, new)

    last, (old, new) = sg.scan(cell, H, X)
    graph = graph_of(last, old, new)
    after = keep_histories(graph)
    (loop,) = loops_of(after.nodes)
    assert [n.attrs["result"] for n in loop.results] == [("history", 0)] and not loop.stacks
    check_values(graph, after)
    last, (old, new) = sg.scan(cell, H, X, reverse=True)
    check_values(graph_of(last, old, new), keep_histories(graph_of(last, old, new)))


def test_gradients_of_weights_are_one_product_after_the_loop():
    weight = nn.Parameter(np.random.default_rng(0).standard_normal((2, 2)).astype(np.float32))

    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        h = sg.tanh(x @ W + h @ weight)
        return h, h

    _, ys = sg.scan(cell, H, X)
    graph = graph_of(*sg.grad(sg.sum(ys * ys), [W, weight]))
    derived = derive_gradients(graph)
    after = tidy_loops(merge_products(move_out_of_loops(tidy_loops(derived))))
    products = [n for n in after.nodes if n.op.name == "matmul"]
    assert [str(n.type) for n in products].count("f32[2, 2]") == 1 and all(n.type.rank == 2 for n in products)
    inside = [n for loop in loops_of(after.nodes) for n in loop.body.nodes if n.op.name == "matmul"]
    assert len(inside) == 2, "one product a step forward, one backward"
    check_values(derived, after)


def test_what_is_only_added_up_is_a_carry():
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        return sg.sin(h), sg.cos(h)

    graph = graph_of(sg.sum(sg.scan(cell, H, X)[1], axis=0))
    after = accumulate_sums(graph)
    (loop,) = loops_of(after.nodes)
    assert loop.carries == 2 and not loop.stacks and not any(n.op.name == "sum" for n in after.nodes)
    check_values(graph, after)


def test_loops_are_tidied():
    """A carry that nobody reads, one that never changes, equal rows and a captured view."""

    def cell(carry: list[Any], row: list[Any]) -> tuple[list[Any], Any]:
        a, fixed, unread = carry
        return [sg.tanh(a + fixed + sg.sum(W.T) + row[1]), fixed, unread * 2.0], None

    rows = [X, sg.broadcast_to(H, (*X.shape[:1], 3, 2))]
    last, _ = sg.scan(cell, [H, H * 2.0, H * 3.0], rows)
    graph = graph_of(last[0], last[1])
    after = tidy_loops(graph)
    (loop,) = loops_of(after.nodes)
    assert (loop.carries, loop.sequences) == (1, 0) and len(loop.results) == 1
    check_values(graph, after)


@pytest.mark.parametrize("skip", ["tidy_loops", "move_out_of_loops", "accumulate_sums", "keep_histories"])
def test_every_loop_pass_may_be_left_out(skip):
    def cell(h: Any, x: Any) -> tuple[Any, Any]:
        h = sg.tanh(x @ W + h)
        return h, sg.sum(h, axis=1)

    last, ys = sg.scan(cell, H, X, reverse=True)
    graph = graph_of(last, *sg.grad(sg.sum(ys * ys), [X, W, H]))
    left_out = {name for name, _ in pipeline.passes(training=False, frozen=False) if name.startswith(skip)}
    stages = pipeline.run(graph, training=False, skip=frozenset(left_out))
    check_values(pipeline.run(graph, training=False)[-1].graph, stages[-1].graph)
