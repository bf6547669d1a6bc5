"""recognize_normalizations: formulas written by hand become the op with a closed-form gradient."""

import numpy as np
import pytest
from pass_text import graph_of

import symgraph as sg
from compiler.passes.recognize_normalizations import recognize_normalizations
from symgraph import nn, reference

X = sg.input("x", ("n", 6))


def names(value) -> list[str]:
    graph = recognize_normalizations(graph_of([X], value))
    return [n.op.name for n in graph.nodes if n.inputs]


def centered(x, axis):
    return x - sg.mean(x, axis=axis, keepdims=True)


def spelled_out(c, axis):
    return c / sg.sqrt(sg.mean(c * c, axis=axis, keepdims=True) + 1e-3)


FORMULAS = {
    "divided by the root": lambda a: centered(X, a) / sg.sqrt(sg.var(X, axis=a, keepdims=True) + 1e-3),
    "times the reciprocal root": lambda a: centered(X, a) * sg.rsqrt(sg.var(X, axis=a, keepdims=True) + 1e-3),
    "times one over the root": lambda a: (
        centered(X, a) * (1.0 / sg.sqrt(1e-3 + sg.var(X, axis=a, keepdims=True)))
    ),
    "variance spelled out": lambda a: spelled_out(centered(X, a), a),
}


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("name", FORMULAS)
def test_standardization(name, axis):
    y = FORMULAS[name](axis)
    graph = recognize_normalizations(graph_of([X], y))
    (node,) = [n for n in graph.nodes if n.inputs]
    assert node.op.name == "standardize" and node.attrs["axes"] == (
        axis if isinstance(axis, tuple) else (axis,)
    )
    assert node.attrs["eps"] == pytest.approx(1e-3)
    array = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    expected = reference.run(graph_of([X], y), [array])[0]
    np.testing.assert_allclose(reference.run(graph, [array])[0], expected, rtol=1e-5, atol=1e-6)


def test_softmax():
    e = sg.exp(X - sg.max(X, axis=1, keepdims=True))
    assert names(e / sg.sum(e, axis=1, keepdims=True)) == ["softmax"]


NOT_NORMALIZATIONS = {
    "statistics of another value": lambda: (
        centered(X, 1) / sg.sqrt(sg.var(X * 2.0, axis=1, keepdims=True) + 1e-3)
    ),
    "statistics over other axes": lambda: centered(X, 1) / sg.sqrt(sg.var(X, axis=0, keepdims=True) + 1e-3),
    "the unbiased variance": lambda: (
        centered(X, 1) / sg.sqrt(sg.var(X, axis=1, keepdims=True, correction=1) + 1e-3)
    ),
    "the variance without a root": lambda: centered(X, 1) / (sg.var(X, axis=1, keepdims=True) + 1e-3),
    "not centered": lambda: X / sg.sqrt(sg.var(X, axis=1, keepdims=True) + 1e-3),
    "an eps for each column": lambda: (
        centered(X, 0) / sg.sqrt(sg.var(X, axis=0) + sg.constant(np.arange(6.0) + 1))
    ),
    "another maximum": lambda: sg.exp(X - sg.max(X * 2.0)) / sg.sum(sg.exp(X - sg.max(X * 2.0))),
}


@pytest.mark.parametrize("name", NOT_NORMALIZATIONS)
def test_what_only_looks_like_one_stays(name):
    found = names(sg.cast(NOT_NORMALIZATIONS[name](), sg.float32))
    assert "standardize" not in found and "softmax" not in found


def test_an_intermediate_whose_gradient_is_wanted_stays():
    center = centered(X, 1)
    y = center / sg.sqrt(sg.var(X, axis=1, keepdims=True) + 1e-3)
    graph = recognize_normalizations(graph_of([X], sg.grad(sg.sum(y * y * y), center)))
    assert "standardize" not in [n.op.name for n in graph.nodes]


def test_library_normalizations_are_one_op_already():
    assert names(nn.layer_norm(X)) == ["standardize"]
