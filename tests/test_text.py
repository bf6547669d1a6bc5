"""The canonical text of a graph."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn
from symgraph.graph import Graph
from symgraph.text import array_text, attribute_text, graph_text, node_text, quoted

NASTY = ['"]; evil [label="x', "two\nlines", "nul\0", "😀", "n" * 10_000, "*/ int x; /*", "\ud800", "a\\b"]


def test_golden():
    x = sg.input("x", ("batch", 4))
    w = nn.Parameter(np.ones((4, 2), np.float32), name="w")
    y = sg.tanh(x @ w) * 0.1
    graph = Graph(inputs=(x.node,), outputs=(y.node,), updates=((w.leaf_node(), (w * sg.sum(y)).node),))
    assert graph_text(graph, locations=False) == (
        '%0 = input "x" : f32[batch, 4]\n'
        '%1 = state "w" : f32[4, 2]\n'
        "%2 = matmul(%0, %1) : f32[batch, 2]\n"
        "%3 = tanh(%2) : f32[batch, 2]\n"
        "%4 = constant(0.1) : f32[]\n"
        "%5 = broadcast_to(%4, shape=(batch, 2)) : f32[batch, 2]\n"
        "%6 = multiply(%3, %5) : f32[batch, 2]\n"
        "%7 = sum(%6, axes=(0, 1)) : f32[]\n"
        "%8 = broadcast_to(%7, shape=(4, 2)) : f32[4, 2]\n"
        "%9 = multiply(%1, %8) : f32[4, 2]\n"
        "outputs: %6\n"
        'update: %1 "w" <- %9\n'
    )


def test_locations_are_the_users_lines():
    x = sg.input("x", (3,))
    y = sg.exp(x)
    lines = graph_text(Graph(inputs=(x.node,), outputs=(y.node,))).splitlines()
    assert lines[1].startswith("%1 = exp(%0) : f32[3] ")
    here = f"# test_text.py:{y.node.location.line} in test_locations_are_the_users_lines"
    assert lines[1].endswith(here)


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_on_their_line(name):
    x = sg.input(name, (3,))
    text = graph_text(Graph(inputs=(x.node,), outputs=((x + 1.0).node,)))
    assert len(text.splitlines()) == 5
    text.encode("utf-8")
    assert text.isprintable() or {c for c in text if not c.isprintable()} == {"\n"}


def test_quoted_can_be_read_back():
    assert quoted('a"b\\c\n') == '"a\\"b\\\\c\\n"'


@pytest.mark.parametrize("value", [0.1, 1e-45, 3.4028235e38, -0.0, np.inf, 16777217.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scalars_are_exact(value, dtype):
    with np.errstate(over="ignore"):
        number = dtype(value)
    back = dtype(array_text(np.asarray(number)))
    assert back.tobytes() == number.tobytes()


def test_arrays_are_abbreviated_without_a_copy():
    assert array_text(np.arange(4)) == "[0, 1, 2, 3]"
    big = np.broadcast_to(np.arange(6, dtype=np.float32), (10**9, 6))
    assert array_text(big) == "[0.0, 1.0, 2.0, ... 3.0, 4.0, 5.0]"
    assert array_text(np.zeros((0, 3))) == "[]"


def test_attributes_do_not_depend_on_the_process():
    class Anything:
        pass

    assert attribute_text(Anything()) == "<Anything>"
    assert attribute_text({"b": 1, "a": (2,)}) == "{a: (2,), b: 1}"
    assert attribute_text(frozenset("cab")) == '{"a", "b", "c"}'
    assert attribute_text((np.dtype(np.int64), None, True, 0.5)) == "(i64, None, True, 0.5)"


def test_node_text_names_operands():
    x, y = sg.input("x", (3,)), sg.input("a b", (3,))
    assert node_text((x + y).node) == 'add(x, "a b") : f32[3]'


def test_nested_graphs_get_sections():
    x = sg.input("x", (3,))
    body = Graph(inputs=(x.node,), outputs=(sg.exp(x).node,))
    node = replace(sg.tanh(x).node, attrs={"body": body})
    outer = Graph(inputs=(x.node,), outputs=(node,))
    assert "%1 = tanh(%0, body=@1) : f32[3]" in graph_text(outer, locations=False)
    assert "graph @1\n" in graph_text(outer, locations=False)


def test_deep_graphs():
    x = sg.input("x", (3,))
    y = x
    for _ in range(20_000):
        y = sg.tanh(y)
    assert len(graph_text(Graph(inputs=(x.node,), outputs=(y.node,))).splitlines()) == 20_002


PROGRAM = """
import symgraph as sg
from symgraph import nn
from symgraph.graph import Graph
from symgraph.text import graph_text
x = sg.input("x", ("batch", 8))
model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm(4), nn.Dropout(0.5))
y = model(x)
print(graph_text(Graph(inputs=(x.node,), outputs=(y.node,)), locations=False))
"""


def test_same_text_in_every_process():
    texts = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        texts.add(done.stdout)
    assert len(texts) == 1
