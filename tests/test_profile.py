"""f.profile(): what each launch did, added up by line, and the flame graph of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from compiler.probes import Limits, capacity, fma_probe, levels, triad_probe
from compiler.profile_page import page_of, tree
from compiler.profiler import Profile, Timed
from symgraph import nn

LIMITS = Limits(flops=100e9, bandwidth=10e9)


def launch(number: int, seconds: float, flops: int, moved: int, line: str, *parameters: str) -> Timed:
    return Timed(f"k{number}", "add+<b>", line, seconds, flops, moved, "h = x + y", parameters)


LAUNCHES = (
    launch(0, 2e-3, 10**8, 10**6, "a.py:1", "body.0.weight"),
    launch(1, 1e-3, 10**6, 10**7, "a.py:2"),
    launch(2, 3e-3, 0, 3 * 10**6, "a.py:1", "body.0.bias"),
)


class Page(HTMLParser):
    """Classes and tips of the boxes, cells of the table, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.boxes: list[tuple[str, str]] = []
        self.widths: list[float] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag != "meta":
            self.open.append(tag)
        if found.get("class") in ("line", "kernel"):
            self.boxes.append((found["class"] or "", found["title"] or ""))
        if found.get("class") == "node":
            self.widths.append(float(re.findall(r"flex:([\d.]+)", found["style"] or "")[0]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_kernels_stand_under_lines_and_modules() -> None:
    root = tree("step", LAUNCHES)
    assert [box.label for box in root.below.values()] == ["a.py:1  h = x + y", "a.py:2  h = x + y"]
    first, second = root.below.values()
    assert list(first.below) == ["body.0"] and len(first.below["body.0"].below) == 2
    assert first.seconds == pytest.approx(5e-3) and root.seconds == pytest.approx(6e-3)
    assert list(second.below) == ["1 add+<b>"]  # no parameter, hence no module


def test_the_page_is_whole_and_says_what_bounds_a_kernel() -> None:
    text = page_of("step", LAUNCHES, LIMITS)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.widths == [6000.0, 5000.0, 5000.0, 2000.0, 3000.0, 1000.0, 1000.0]
    assert [kind for kind, _ in page.boxes].count("kernel") == 3
    assert "<b>" not in "".join(re.findall(r'class="kernel"[^>]*>([^<]*)', text))
    rows = [page.cells[i : i + 9] for i in range(0, len(page.cells), 9)]
    assert [row[0] for row in rows] == ["k2", "k0", "k1"]  # slowest first
    assert rows[1][5:] == ["50.0", "0.5", "arithmetic", "50%"]  # 1e8 flops at 1e11 a second need 1 of 2 ms
    assert rows[2][5:] == ["1.0", "10.0", "memory", "100%"]
    assert "http" not in text  # needs nothing from elsewhere


def test_lines_are_added_up() -> None:
    profile = Profile("step", LAUNCHES, threads=1, working_set=10**6)
    assert profile.by_line() == {"a.py:1": pytest.approx(5e-3), "a.py:2": pytest.approx(1e-3)}
    slow = profile.lines()[0]
    assert (slow.flops, slow.bytes) == (10**8, 4 * 10**6) and slow.gflops == pytest.approx(20.0)
    text = str(profile)
    assert text.startswith("step: 6 ms in 3 launches") or text.startswith("step: 6.00 ms in 3 launches")
    assert "2 launches  (a.py:1)" in text.partition("by line:")[2]


def test_a_profile_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    x = sg.input("x", ("n", 32))
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU())
    f = sg.function([x], model(x), threads=1, name="saved")
    profile = f.profile(np.ones((8, 32), np.float32), calls=2)
    assert profile.threads == 1
    assert profile.working_set >= 4 * (8 * 32 + 8 * 16 + 32 * 16 + 16)
    path = profile.save(tmp_path / "profile.html")
    text = path.read_text()
    assert text.startswith("<!doctype html>") and "test_profile.py" in text and ">0<" in text  # the module 0
    with pytest.raises(sg.ExportError, match=r"saved as \.html"):
        profile.save(tmp_path / "profile.svg")
    with pytest.raises(sg.ExportError, match="cannot write"):
        profile.save(path / "below.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["profile.html"]


def test_probes_compute_what_they_say() -> None:
    for threads in (1, 2):
        out = fma_probe(threads).call()
        np.testing.assert_allclose(np.asarray(out), 2.0)  # the limit of v = v / 2 + 1
        probe = triad_probe(threads, 3 * 4 * 1024 * threads)
        np.testing.assert_array_equal(np.asarray(probe.call()), 1.5)
        assert probe.bytes % (3 * 4 * 1024 * threads) == 0 and probe.flops * 6 == probe.bytes
    sizes = levels()
    assert list(sizes) == ["L1", "L2", "L3", "memory"] and list(sizes.values()) == sorted(sizes.values())
    assert capacity("L1", sizes["L1"], 2) == 2 * sizes["L1"] and capacity("L3", sizes["L3"], 2) == sizes["L3"]
