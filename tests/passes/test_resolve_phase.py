"""resolve_phase: training or inference, and what modules carry from call to call."""

from functools import partial

import numpy as np
import pytest
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.resolve_phase import resolve_phase
from symgraph import nn
from symgraph.ops.phase import by_phase, carry, read

INFERENCE, TRAINING = partial(resolve_phase, training=False), partial(resolve_phase, training=True)


def choosing(x):
    return by_phase(x, True, lambda: x * x, lambda: -x)


def counting(x, state, always=False):
    """x, and the state grows by the sum of x."""
    seen = read(state, x)
    return carry(x, state, seen, seen + sg.sum(x), always)


def test_inference_takes_the_second_branch():
    x = sg.input("x", (3,))
    becomes(graph_of([x], choosing(x)), """
        %0 = input "x" : f32[3]
        %1 = negative(%0) : f32[3]
        outputs: %1
        """, INFERENCE)  # fmt: skip


def test_training_takes_the_first_branch():
    x = sg.input("x", (3,))
    becomes(graph_of([x], choosing(x)), """
        %0 = input "x" : f32[3]
        %1 = multiply(%0, %0) : f32[3]
        outputs: %1
        """, TRAINING)  # fmt: skip


def test_dropout_vanishes_at_inference():
    x = sg.input("x", ("batch", 4))
    becomes(graph_of([x], nn.Dropout(0.5)(x)), """
        %0 = input "x" : f32[batch, 4]
        outputs: %0
        """, INFERENCE)  # fmt: skip


def test_carried_state_becomes_an_update():
    x, state = sg.input("x", (3,)), sg.state("total", np.zeros((), np.float32))
    becomes(graph_of([x], counting(x, state)), """
        %0 = input "x" : f32[3]
        %1 = state "total" : f32[]
        %2 = sum(%0, axes=(0,)) : f32[]
        %3 = add(%1, %2) : f32[]
        outputs: %0
        update: %1 "total" <- %3
        """, TRAINING)  # fmt: skip


def test_carried_state_rests_at_inference_unless_it_always_moves():
    x, state = sg.input("x", (3,)), sg.state("total", np.zeros((), np.float32))
    assert not INFERENCE(graph_of([x], counting(x, state))).updates
    assert len(INFERENCE(graph_of([x], counting(x, state, always=True))).updates) == 1


def test_a_second_call_reads_what_the_first_one_left():
    x, state = sg.input("x", (3,)), sg.state("total", np.zeros((), np.float32))
    y = counting(x, state) * 2.0
    becomes(graph_of([x], counting(y, state)), """
        %0 = input "x" : f32[3]
        %1 = constant(2.0) : f32[]
        %2 = broadcast_to(%1, shape=(3,)) : f32[3]
        %3 = multiply(%0, %2) : f32[3]
        %4 = state "total" : f32[]
        %5 = sum(%0, axes=(0,)) : f32[]
        %6 = add(%4, %5) : f32[]
        %7 = sum(%3, axes=(0,)) : f32[]
        %8 = add(%6, %7) : f32[]
        outputs: %3
        update: %4 "total" <- %8
        """, TRAINING)  # fmt: skip


def test_two_calls_leave_what_two_eager_calls_leave():
    module = nn.BatchNorm(4)
    x = sg.input("x", ("batch", 4))
    both = sg.function([x], module(module(x) * 3.0), training=True)
    array = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    both(array)
    after = module.state_dict()
    twin = nn.BatchNorm(4)
    twin(twin(sg.tensor(array)) * 3.0)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(np.asarray(after[name]), np.asarray(value), rtol=1e-5, atol=1e-6)


def test_a_state_updated_by_hand_and_by_its_module_is_refused():
    x, state = sg.input("x", (3,)), sg.state("total", np.zeros((), np.float32))
    graph = graph_of([x], counting(x, state), updates={state: sg.sum(x)})
    with pytest.raises(sg.GraphError, match="total is updated twice"):
        TRAINING(graph)
