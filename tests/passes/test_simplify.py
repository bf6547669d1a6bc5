"""simplify: one test a rule, on exceptional values too, where the rule must hold as well."""

import numpy as np
import pytest
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.passes.simplify import RULES, simplify
from symgraph import reference

VALUES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 1.5, -3.25, 3e38], np.float32)

# What is written, and what it becomes: op names of the result, without sources.
CASES = {
    "x * 1": (lambda x: x * 1.0, []),
    "1 * x": (lambda x: 1.0 * x, []),
    "x / 1": (lambda x: x / 1.0, []),
    "x - 0": (lambda x: x - 0.0, []),
    "-(-x)": (lambda x: sg.negative(sg.negative(x)), []),
    "x + (-y)": (lambda x: sg.exp(x) + (-x), ["exp", "subtract"]),
    "(-x) + y": (lambda x: (-x) + sg.exp(x), ["exp", "subtract"]),
    "x - (-y)": (lambda x: sg.exp(x) - (-x), ["add", "exp"]),
    "x / 4": (lambda x: x / 4.0, ["broadcast_to", "multiply"]),
    "broadcast of broadcast": (
        lambda x: sg.broadcast_to(sg.broadcast_to(x, (2, 9)), (3, 2, 9)), ["broadcast_to"]),
    "reshape of reshape": (lambda x: sg.reshape(sg.reshape(x, (3, 3)), (9, 1)), ["reshape"]),
    "reshape there and back": (lambda x: sg.reshape(sg.reshape(x, (3, 3)), (9,)), []),
    "permute of permute": (
        lambda x: sg.permute_dims(sg.permute_dims(sg.reshape(x, (1, 3, 3)), (2, 0, 1)), (1, 0, 2)),
        ["permute_dims", "reshape"]),
    "sum over ones": (lambda x: sg.sum(sg.reshape(x, (9, 1)), axis=1), []),
    "stop_gradient": (lambda x: sg.stop_gradient(x), []),
    # What must stay, because -0.0, NaN or infinities would change.
    "x + 0 stays": (lambda x: x + 0.0, ["add", "broadcast_to"]),
    "x * 0 stays": (lambda x: x * 0.0, ["broadcast_to", "multiply"]),
    "x - x stays": (lambda x: x - x, ["subtract"]),
    "x / x stays": (lambda x: x / x, ["divide"]),
    "x - (-0) stays": (lambda x: x - (-0.0), ["broadcast_to", "subtract"]),
    "x / 3 stays": (lambda x: x / 3.0, ["broadcast_to", "divide"]),
    "log(exp(x)) stays": (lambda x: sg.log(sg.exp(x)), ["exp", "log"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    build, expected = CASES[name]
    x = sg.input("x", (9,))
    before = graph_of([x], build(x))
    after = simplify(simplify(before))
    assert sorted(n.op.name for n in after.nodes if n.inputs) == expected
    (old,), (new,) = reference.run(before, [VALUES]), reference.run(after, [VALUES])
    np.testing.assert_array_equal(new, old)


def test_the_signs_of_zeros_survive():
    x = sg.input("x", (9,))
    for name, (build, _) in CASES.items():
        if name == "sum over ones":
            continue  # whether the sum of -0.0 alone is 0.0 or -0.0 is nowhere said
        before = graph_of([x], build(x))
        (old,), (new,) = (reference.run(g, [VALUES]) for g in (before, simplify(before)))
        known = ~np.isnan(old)
        assert np.array_equal(np.signbit(new[known]), np.signbit(old[known]))


def test_every_rule_has_an_equation():
    assert all("=" in (rule.__doc__ or "") for rules in RULES.values() for rule in rules)


def test_integers_are_simplified_by_the_same_rules():
    x = sg.input("x", (3,), sg.int32)
    becomes(graph_of([x], x * 1 - 0 + (-x)), """
        %0 = input "x" : i32[3]
        %1 = subtract(%0, %0) : i32[3]
        outputs: %1
        """, simplify)  # fmt: skip


def test_a_permutation_that_cancels_is_nothing():
    x = sg.input("x", (2, 3))
    becomes(graph_of([x], x.T.T), """
        %0 = input "x" : f32[2, 3]
        outputs: %0
        """, simplify)  # fmt: skip
