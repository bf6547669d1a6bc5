"""merge_common: equal expressions are computed once."""

import numpy as np
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.merge_common import merge_common
from symgraph.random import Generator
from symgraph.symbol import Symbol


def test_equal_expressions_become_one():
    x = sg.input("x", (3,))
    becomes(graph_of([x], sg.exp(x * 2.0) + sg.exp(x * 2.0)), """
        %0 = input "x" : f32[3]
        %1 = constant(2.0) : f32[]
        %2 = broadcast_to(%1, shape=(3,)) : f32[3]
        %3 = multiply(%0, %2) : f32[3]
        %4 = exp(%3) : f32[3]
        %5 = add(%4, %4) : f32[3]
        outputs: %5
        """, merge_common)  # fmt: skip


def test_attributes_tell_apart():
    x = sg.input("x", (2, 2))
    becomes(graph_of([x], sg.sum(x, axis=0), sg.sum(x, axis=1)), """
        %0 = input "x" : f32[2, 2]
        %1 = sum(%0, axes=(0,)) : f32[2]
        %2 = sum(%0, axes=(1,)) : f32[2]
        outputs: %1, %2
        """, merge_common)  # fmt: skip


def test_zero_and_minus_zero_are_two_constants():
    x = sg.input("x", (3,))
    graph = merge_common(graph_of([x], x * 0.0, x * -0.0, x * float("nan"), x * float("nan")))
    assert [n.op.name for n in graph.nodes].count("constant") == 3


def test_operands_in_another_order_stay_apart():
    x, y = sg.input("x", (3,)), sg.input("y", (3,))
    graph = merge_common(graph_of([x, y], x - y, y - x))
    assert graph.outputs[0] is not graph.outputs[1]


def test_two_states_of_one_value_stay_two():
    a, b = (sg.state(name, np.zeros(3, np.float32)) for name in ("a", "b"))
    graph = merge_common(graph_of([], Symbol.enter(a) * 2.0, Symbol.enter(b) * 2.0))
    assert graph.outputs[0] is not graph.outputs[1]


def test_two_draws_of_random_numbers_stay_two():
    x, generator = sg.input("x", (3,)), Generator()
    first, second = generator.uniform(x, (3,)), generator.uniform(x, (3,))
    f = sg.function([x], (first, second))
    one, two = f(np.zeros(3, np.float32))
    assert not np.array_equal(one, two)
