"""fold_constants: what depends on no input and no state is computed now."""

import numpy as np
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.fold_constants import fold_constants
from symgraph.symbol import Symbol


def test_a_constant_expression_becomes_its_value():
    x = sg.input("x", (2,))
    becomes(graph_of([x], x + sg.exp(sg.constant([0.0, 1.0]) * 0.0)), """
        %0 = input "x" : f32[2]
        %1 = constant([1.0, 1.0]) : f32[2]
        %2 = add(%0, %1) : f32[2]
        outputs: %2
        """, fold_constants)  # fmt: skip


def test_a_repeated_constant_is_left_unsaid():
    x = sg.input("x", (2, 3))
    becomes(graph_of([x], x + sg.full_like(x, 2)), """
        %0 = input "x" : f32[2, 3]
        %1 = constant(2.0) : f32[]
        %2 = broadcast_to(%1, shape=(2, 3)) : f32[2, 3]
        %3 = add(%0, %2) : f32[2, 3]
        outputs: %3
        """, fold_constants)  # fmt: skip


def test_a_named_size_is_not_a_constant():
    x = sg.input("x", ("n",))
    graph = graph_of([x], sg.mean(x))
    assert fold_constants(graph).outputs == graph.outputs


def test_states_are_not_constants():
    state = Symbol.enter(sg.state("s", np.ones(2, np.float32)))
    graph = graph_of([], sg.exp(state))
    assert fold_constants(graph).outputs == graph.outputs


def test_a_large_result_is_left_to_the_program():
    large = sg.constant(np.ones(5000, np.float32))
    graph = graph_of([], sg.exp(large))
    assert fold_constants(graph).outputs == graph.outputs
    assert fold_constants(graph, limit=5000).outputs[0].op.name == "constant"


def test_integers_wrap_as_they_do_at_run_time():
    big = sg.constant(np.array([2**31 - 1], np.int32))
    folded = fold_constants(graph_of([], big + 1)).outputs[0]
    assert folded.attrs["value"].tolist() == [-(2**31)] and folded.type.dtype == sg.int32
