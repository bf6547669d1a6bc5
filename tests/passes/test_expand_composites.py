"""expand_composites: names of small graphs become the graphs."""

from pass_text import becomes, graph_of

import symgraph as sg
from compiler.clusters import word_of
from compiler.passes.expand_composites import expand_composites
from symgraph import nn
from symgraph.op import Kind


def test_softmax():
    x = sg.input("x", ("n", 3))
    becomes(graph_of([x], nn.softmax(x)), """
        %0 = input "x" : f32[n, 3]
        %1 = max(%0, axes=(1,)) : f32[n]
        %2 = reshape(%1, shape=(n, 1)) : f32[n, 1]
        %3 = broadcast_to(%2, shape=(n, 3)) : f32[n, 3]
        %4 = subtract(%0, %3) : f32[n, 3]
        %5 = exp(%4) : f32[n, 3]
        %6 = constant(1.0) : f32[]
        %7 = broadcast_to(%6, shape=(n,)) : f32[n]
        %8 = sum(%5, axes=(1,)) : f32[n]
        %9 = divide(%7, %8) : f32[n]
        %10 = reshape(%9, shape=(n, 1)) : f32[n, 1]
        %11 = broadcast_to(%10, shape=(n, 3)) : f32[n, 3]
        %12 = multiply(%5, %11) : f32[n, 3]
        outputs: %12
        """, expand_composites)  # fmt: skip


def test_a_composite_inside_a_composite_is_expanded_too():
    x, labels = sg.input("x", ("n", 3)), sg.input("labels", ("n",), sg.int64)
    graph = expand_composites(graph_of([x, labels], nn.cross_entropy(x, labels)))
    assert not [n for n in graph.nodes if n.op.kind is Kind.COMPOSITE]
    assert {"max", "exp", "log", "iota"} <= {n.op.name for n in graph.nodes}


def test_what_is_expanded_keeps_the_users_word_and_line():
    x = sg.input("x", ("n", 3))
    y = nn.softmax(x)  # this line
    graph = expand_composites(graph_of([x], y))
    made = [n for n in graph.nodes if n.inputs]
    assert {word_of(n) for n in made} == {"softmax"}
    assert {n.location.line for n in made} == {y.node.location.line}


def test_a_graph_without_composites_stays_itself():
    x = sg.input("x", (3,))
    graph = graph_of([x], sg.exp(x) + 1.0)
    assert expand_composites(graph).outputs == graph.outputs


def test_composites_of_composites_see_new_operands():
    x = sg.input("x", ("n", 3))
    graph = expand_composites(graph_of([x], nn.softmax(nn.softmax(x))))
    assert [n.op.name for n in graph.nodes].count("exp") == 2
