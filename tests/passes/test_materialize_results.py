"""materialize_results: every result gets memory of its own."""

import numpy as np
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.materialize_results import materialize_results


def test_an_input_a_view_and_a_double_are_copied():
    x = sg.input("x", (2, 3))
    y = sg.exp(x)
    becomes(graph_of([x], x, x.T, y, y), """
        %0 = input "x" : f32[2, 3]
        %1 = copy(%0) : f32[2, 3]
        %2 = permute_dims(%0, axes=(1, 0)) : f32[3, 2]
        %3 = copy(%2) : f32[3, 2]
        %4 = exp(%0) : f32[2, 3]
        %5 = copy(%4) : f32[2, 3]
        outputs: %1, %3, %4, %5
        """, materialize_results)  # fmt: skip


def test_computed_results_stay():
    x = sg.input("x", (3,))
    graph = graph_of([x], sg.exp(x), sg.sum(x))
    assert materialize_results(graph).outputs == graph.outputs


def test_an_output_that_is_an_update_too_is_copied_once():
    x, s = sg.input("x", (3,)), sg.state("s", np.zeros(3, np.float32))
    y = sg.exp(x)
    becomes(graph_of([x], y, updates={s: y}), """
        %0 = input "x" : f32[3]
        %1 = exp(%0) : f32[3]
        %2 = copy(%1) : f32[3]
        outputs: %1
        update: state "s" <- %2
        """, materialize_results)  # fmt: skip


def test_such_functions_return_arrays_of_their_own():
    x = sg.input("x", (3,))
    y = sg.exp(x)
    f = sg.function([x], (x, x, y, y, sg.constant([1.0, 2.0])))
    array = np.array([1.0, 2.0, 3.0], np.float32)
    found = f(array)
    for result in found:
        result += 100.0
    np.testing.assert_array_equal(array, [1.0, 2.0, 3.0])
    for again, result in zip(f(array), found, strict=True):
        np.testing.assert_allclose(again, result - 100.0, rtol=1e-5)
