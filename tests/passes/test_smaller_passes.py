"""Passes of one rule each: biases that a norm removes, transposed products, indices, statistics, weights."""

import numpy as np
import pytest
from pass_text import becomes, graph_of

import symgraph as sg
from compiler.driver import Options, lower
from compiler.llvm.target import Target
from compiler.passes.check_indices import check_indices
from compiler.passes.drop_removed_bias import drop_removed_bias
from compiler.passes.fold_into_weights import fold_into_weights
from compiler.passes.freeze_weights import freeze_weights
from compiler.passes.narrow_convolutions import narrow_convolutions
from compiler.passes.shift_statistics import shift_statistics
from compiler.passes.transpose_products import transpose_products
from symgraph import nn, reference
from symgraph.ops.convolution import convolution
from symgraph.ops.layout import padded, static_slice
from symgraph.symbol import Symbol

X = sg.input("x", ("n", 4))
RNG = np.random.default_rng(0)


def parameter(*shape: int, name: str = "w") -> Symbol:
    return Symbol.enter(nn.Parameter(RNG.standard_normal(shape).astype(np.float32), name))


def agrees(before, after, *arrays, rtol=1e-5):
    for old, new in zip(reference.run(before, arrays), reference.run(after, arrays), strict=True):
        np.testing.assert_allclose(new, old, rtol=rtol, atol=1e-5)


def batch(rows: int, columns: int = 4) -> np.ndarray:
    return RNG.standard_normal((rows, columns)).astype(np.float32)


def test_a_bias_before_batch_norm_is_dropped():
    graph = graph_of([X], nn.batch_norm(X + parameter(4, name="b")))
    becomes(graph, """
        %0 = input "x" : f32[n, 4]
        %1 = standardize(%0, axes=(0,), eps=1e-05) : f32[n, 4]
        %2 = state "b" : f32[4]
        %3 = broadcast_to(%2, shape=(n, 4)) : f32[n, 4]
        %4 = subtract(%3, %3) : f32[n, 4]
        %5 = stop_gradient(%4) : f32[n, 4]
        %6 = add(%1, %5) : f32[n, 4]
        outputs: %6
        """, drop_removed_bias)  # fmt: skip
    agrees(graph, drop_removed_bias(graph), batch(7))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_dropped_bias_that_is_not_finite_still_spoils_its_column(bad):
    y = X + sg.constant(np.asarray([0.5, bad, 1, 2], np.float32))
    results = [nn.batch_norm(y), sg.mean(y, axis=0), sg.var(y, axis=0)]
    graph = graph_of([X], *results)
    changed = drop_removed_bias(graph)
    assert changed.outputs != graph.outputs
    found, expected = (reference.run(g, [batch(7)]) for g in (changed, graph))
    for new, old in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.isfinite(new), np.isfinite(old))
        np.testing.assert_array_equal(np.isnan(new), np.isnan(old))


@pytest.mark.parametrize("norm", [nn.layer_norm, nn.rms_norm, lambda y: y * 2.0])
def test_a_bias_that_matters_stays(norm):
    graph = graph_of([X], norm(X + parameter(4, name="b")))
    assert drop_removed_bias(graph).outputs == graph.outputs


def test_the_running_mean_still_sees_the_dropped_bias():
    y = X + parameter(4, name="b")
    graph = graph_of([X], nn.batch_norm(y), sg.mean(y, axis=0), sg.var(y, axis=0))
    agrees(graph, drop_removed_bias(graph), batch(7))


def test_a_transposed_product_is_the_product_of_the_transposed():
    graph = graph_of([X], (X.T @ X[:, :3]).T)
    becomes(graph, """
        %0 = input "x" : f32[n, 4]
        %1 = slice(%0, bounds=((0, n, 1), (0, 3, 1))) : f32[n, 3]
        %2 = permute_dims(%1, axes=(1, 0)) : f32[3, n]
        %3 = matmul(%2, %0) : f32[3, 4]
        outputs: %3
        """, transpose_products)  # fmt: skip
    agrees(graph, transpose_products(graph), batch(5))


def test_a_product_that_others_read_is_not_transposed():
    product = X.T @ X
    graph = graph_of([X], product.T + product)
    assert transpose_products(graph).outputs == graph.outputs


def test_each_index_is_checked_once():
    places = sg.input("i", ("n",), sg.int32)
    table = parameter(5, 3, name="table")
    once = check_indices(graph_of([places], sg.take(table, places)))
    twice = check_indices(graph_of([places], nn.Embedding(5, 3)(places), sg.take(table, places)))
    assert len(once.checks) == 1 and 1 <= len(twice.checks) <= 2
    good, bad = np.array([0, -5, 4], np.int32), np.array([0, 5], np.int32)
    f = sg.function([places], sg.take(table, places))
    assert f(good).shape == (3, 3)
    with pytest.raises(sg.InputError, match=r"take: an index is 5, outside \[0, 5\)"):
        f(bad)
    assert f(np.zeros(0, np.int32)).shape == (0, 3)


def test_a_bad_index_changes_no_state():
    places, table = sg.input("i", ("n",), sg.int64), nn.Parameter(np.ones((3, 2), np.float32), "table")
    loss = sg.sum(sg.take(table, places))
    f = sg.function([places], loss, updates={table: table - sg.grad(loss, table)})
    with pytest.raises(sg.InputError, match=r"outside \[0, 3\)"):
        f(np.array([0, 3]))
    np.testing.assert_array_equal(table.numpy(), 1.0)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_statistics_of_columns_are_right_at_an_offset(offset):
    mean, var = sg.mean(X, axis=0), sg.var(X, axis=0)
    before = graph_of([X], mean, var)
    after = shift_statistics(before)
    assert "slice" in [n.op.name for n in after.nodes]
    array = (batch(4096) + offset).astype(np.float32)
    wide = array.astype(np.float64)
    for found in (reference.run(after, [array]), sg.function([X], (mean, var))(array)):
        np.testing.assert_allclose(found[0], wide.mean(0), rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(found[1], wide.var(0), rtol=1e-4)


def test_a_mean_alone_is_not_shifted():
    graph = graph_of([X], sg.mean(X, axis=0))
    assert shift_statistics(graph).outputs == graph.outputs


def test_rows_are_not_shifted():
    graph = graph_of([X], sg.mean(X, axis=1), sg.var(X, axis=1))
    assert shift_statistics(graph).outputs == graph.outputs


def test_frozen_batch_norm_folds_into_the_matrix():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm(3))
    model[1].running_mean.assign(np.array([0.5, -1.0, 2.0], np.float32))
    model[1].running_var.assign(np.array([2.0, 0.25, 1.0], np.float32))
    frozen = lower(graph_of([X], model(X)), "f", ["y"], Options(frozen=True), Target.host()).graph
    work = [
        n.op.name
        for n in frozen.nodes
        if n.inputs and n.op.name not in ("broadcast_to", "reshape", "permute_dims")
    ]
    assert work == ["matmul", "add"]
    agrees(lower(graph_of([X], model(X)), "f", ["y"], Options(), Target.host()).derived, frozen, batch(6))


def test_a_product_that_others_read_is_not_folded():
    w, s = sg.constant(RNG.standard_normal((4, 3)).astype(np.float32)), sg.constant(np.float32([1, 2, 3]))
    product = X @ w
    graph = graph_of([X], product * s, product)
    assert [n.op.name for n in fold_into_weights(graph).nodes].count("matmul") == 1
    agrees(graph, fold_into_weights(graph), batch(3))


def test_a_function_with_updates_cannot_be_frozen():
    s = sg.state("s", np.zeros(4, np.float32))
    with pytest.raises(sg.ExportError, match="s is updated by the function"):
        freeze_weights(graph_of([X], updates={s: sg.sum(X, axis=0)}))


def test_outputs_of_a_convolution_that_are_sliced_away_are_not_computed():
    g, w = sg.input("g", ("n", 6, 5, 3)), sg.input("w", (3, 2, 3, 4))
    wide = padded(g, ((0, 0, 0), (2, 3, 1), (1, 1, 0), (0, 0, 0)))
    made = convolution(wide, w)
    kept = static_slice(made, ((0, made.shape[0], 1), (1, 12, 1), (1, 5, 1), (0, 4, 1)))
    graph = graph_of([g, w], kept)
    narrow = narrow_convolutions(graph)
    becomes(narrow, """
        %0 = input "g" : f32[n, 6, 5, 3]
        %1 = input "w" : f32[3, 2, 3, 4]
        %2 = pad(%0, value=0, widths=((0, 0, 0), (1, 1, 1), (0, 0, 0), (0, 0, 0))) : f32[n, 13, 5, 3]
        %3 = convolution(%2, %1, dilation=(1, 1), groups=1, stride=(1, 1)) : f32[n, 11, 4, 4]
        outputs: %3
    """)
    arrays = [RNG.standard_normal(s).astype("f") for s in ((2, 6, 5, 3), (3, 2, 3, 4))]
    agrees(graph, narrow, *arrays)


def test_a_convolution_with_another_user_is_not_narrowed():
    g, w = sg.input("g", ("n", 6, 3)), sg.input("w", (3, 3, 4))
    made = convolution(padded(g, ((0, 0, 0), (2, 2, 0), (0, 0, 0))), w)
    kept = static_slice(made, ((0, made.shape[0], 1), (1, 7, 1), (0, 4, 1)))
    graph = graph_of([g, w], kept, made)
    assert narrow_convolutions(graph) is graph or len(narrow_convolutions(graph).nodes) == len(graph.nodes)
