"""Picture files: formats, names of every kind, a missing or broken `dot`, whole files or none."""

import os
import stat
import subprocess
import sys
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn
from symgraph.errors import ExportError, GraphError
from symgraph.graph import Graph
from symgraph.viz import graphviz_program

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    '"]; evil [label="x', "two\nlines", "nul\0", "😀", "n" * 10_000, "*/ int x; /*", 'x");system("id',
    "<script>alert(1)</script>", "]]>", "&amp; &lt;", "<b>bold</b>", "\\", "\ud800", "\u202e", "node", "a:b",
]  # fmt: skip


@pytest.fixture
def loss():
    x = sg.input("x", ("batch", 4))
    y = sg.input("y", ("batch",), dtype=sg.int64)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm(8), nn.ReLU(), nn.Linear(8, 3))
    return nn.cross_entropy(model(x), y)


def texts(path):
    return ["".join(t.itertext()) for t in ElementTree.parse(path).iter(SVG + "text")]


def fake_dot(folder, script, monkeypatch):
    program = folder / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return program


def test_svg(loss, tmp_path):
    path = sg.draw(loss, tmp_path / "a.svg", title="my model")
    assert path == tmp_path / "a.svg"
    shown = texts(path)
    assert {"my model", "x", "f32[batch, 8]", "0.weight", "output", "parameter", "forward"} <= set(shown)
    tips = [t.text for t in ElementTree.parse(path).iter(SVG + "title")]
    assert any("test_draw.py" in t for t in tips if t)


def test_dot_is_one_digraph(loss, tmp_path):
    text = sg.draw(loss, tmp_path / "a.dot", clusters="lines").read_text()
    assert text.startswith("digraph") and text.count("{") == text.count("}")
    assert 'label="f32[batch, 8]"' in text and "cluster_legend" in text and "cluster_0" in text


def test_html_is_self_contained(loss, tmp_path):
    page = sg.draw(loss, tmp_path / "a.html", title="<t>").read_text()
    assert page.startswith("<!doctype html>") and "<title>&lt;t&gt;</title>" in page
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append(tag)
            for name, value in attrs:
                assert name not in ("src", "onload") and not (value or "").startswith("http:"), (tag, name)

    Reader().feed(page.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert "svg" in found and "script" not in found


@pytest.mark.parametrize("name", NASTY)
def test_names_are_data(name, tmp_path):
    x = sg.input(name, ("batch", 3))
    w = nn.Parameter(np.ones((3, 2), np.float32), name=name)
    y = sg.tanh(x @ w)
    for suffix in (".svg", ".dot", ".html"):
        path = sg.draw(y, tmp_path / f"a{suffix}", title=name, clusters=[(name, [y.node])])
        assert path.stat().st_size < 40_000
    assert not list(ElementTree.parse(tmp_path / "a.svg").iter(SVG + "script"))
    assert "<script" not in (tmp_path / "a.html").read_text()
    dot = (tmp_path / "a.dot").read_text()
    outside = strip_strings(dot)
    assert "evil" not in outside and "system" not in outside and "<b>" not in outside
    assert outside.count("->") == 4


def strip_strings(dot):
    """DOT text without what stands in double quotes."""
    kept, quoted, skip = [], False, False
    for c in dot:
        if skip:
            skip = False
        elif quoted and c == "\\":
            skip = True
        elif c == '"':
            quoted = not quoted
        elif not quoted:
            kept.append(c)
    assert not quoted
    return "".join(kept)


@pytest.mark.skipif(not graphviz_program.has_dot(), reason="needs the program dot")
@pytest.mark.parametrize("name", NASTY)
def test_graphviz_reads_what_we_write(name, tmp_path):
    x = sg.input(name, ("batch", 3))
    path = sg.draw(sg.tanh(x), tmp_path / "a.png", title=name)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_png_without_dot_writes_the_dot_and_says_how_to_install(loss, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExportError, match=r"(?s)install Graphviz.*a\.dot"):
        sg.draw(loss, tmp_path / "a.png")
    assert (tmp_path / "a.dot").read_text().startswith("digraph")
    assert sorted(os.listdir(tmp_path)) == ["a.dot"]
    assert sg.draw(loss, tmp_path / "a.svg").exists()


def test_a_failing_dot(loss, tmp_path, monkeypatch):
    fake_dot(tmp_path, "echo no fonts >&2; exit 3", monkeypatch)
    with pytest.raises(ExportError, match="failed with code 3: no fonts"):
        sg.draw(loss, tmp_path / "a.png")
    assert (tmp_path / "a.dot").exists() and not (tmp_path / "a.png").exists()


def test_a_hanging_dot_is_ended(loss, tmp_path, monkeypatch):
    fake_dot(tmp_path, f"echo $$ > {tmp_path}/pid; exec /bin/sleep 60", monkeypatch)
    monkeypatch.setattr(graphviz_program, "SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ExportError, match=r"longer than 0\.5 s"):
        sg.draw(loss, tmp_path / "a.png")
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):  # neither running nor a zombie
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_paths_are_not_commands(loss, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a b'; touch pwn; '.svg", '-o "x".dot', "new\nline.svg", "é😀.html"):
        assert sg.draw(loss, tmp_path / name).exists()
    assert not (tmp_path / "pwn").exists()


def test_an_unknown_suffix(loss, tmp_path):
    for name in ("a.pdf", "a", ".svg"):
        with pytest.raises(ExportError, match=r"ends in none of .dot, .svg, .png, .html"):
            sg.draw(loss, tmp_path / name)


def test_directories_are_made_and_bad_ones_named(loss, tmp_path):
    assert sg.draw(loss, tmp_path / "new" / "deep" / "a.svg").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        sg.draw(loss, tmp_path / "file" / "a.svg")
    with pytest.raises(ExportError, match="cannot write"):
        sg.draw(loss, tmp_path / "nul\0.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ExportError, match="cannot write"):
        sg.draw(loss, tmp_path / "folder.svg")


def test_a_full_disk_leaves_the_old_file(loss, tmp_path, monkeypatch):
    target = tmp_path / "a.svg"
    target.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        sg.draw(loss, target)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.svg"]


def test_what_cannot_be_drawn():
    with pytest.raises(GraphError, match="not int"):
        sg.draw(3, "a.svg")
    x = sg.input("x", (3,))
    with pytest.raises(GraphError, match='"lines"'):
        sg.draw(x, "a.svg", clusters="line")
    with pytest.raises(GraphError, match=r"a cluster is \(title, nodes\)"):
        sg.draw(x, "a.svg", clusters=[("title", [x])])


def test_stages_states_and_lists(loss, tmp_path):
    class Stage:
        graph = Graph(inputs=(), outputs=(loss.node,))
        clusters = (("kernel one", (loss.node,)),)
        name = "after fusion"

    assert {"after fusion", "kernel one"} <= set(texts(sg.draw(Stage(), tmp_path / "a.svg")))
    state = sg.state("s", np.ones(3, np.float32))
    assert "s" in texts(sg.draw(state, tmp_path / "b.svg"))
    x = sg.input("x", (3,))
    assert "output 1" in texts(sg.draw([sg.exp(x), sg.tanh(x)], tmp_path / "c.svg"))


def test_an_empty_graph(tmp_path):
    assert sg.draw(Graph(inputs=(), outputs=()), tmp_path / "a.svg").exists()
    assert sg.draw(Graph(inputs=(), outputs=()), tmp_path / "a.dot").exists()


def test_a_deep_tape(tmp_path):
    x = sg.tensor(np.ones(3, np.float32), requires_grad=True)
    y = x
    for _ in range(5000):
        y = sg.tanh(y)
    assert sg.draw(y, tmp_path / "a.svg").exists()


PROGRAM = """
import sys, symgraph as sg
from symgraph import nn, optim
x = sg.input("x", ("batch", 8)); y = sg.input("y", ("batch",), dtype=sg.int64)
model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm(4), nn.Dropout(0.5))
for suffix in ("svg", "dot"):
    sg.draw(nn.cross_entropy(model(x), y), sys.argv[1] + suffix, clusters="lines")
"""


def test_the_same_bytes_in_every_process(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for seed in ("0", "1"):
        command = [sys.executable, tmp_path / "program.py", f"{tmp_path}/{seed}."]
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, check=True)
    for suffix in ("svg", "dot"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
