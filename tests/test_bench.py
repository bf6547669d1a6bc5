"""The benchmark runs and writes its page; nothing here asks how fast anything is."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import symgraph as sg
from symgraph.api import function_of
from symgraph.bench import race_tables
from symgraph.bench.chart import chart
from symgraph.bench.command import ratios
from symgraph.bench.engines.in_symgraph import graph_of, prepare
from symgraph.bench.measure import MACHINE, OWN
from symgraph.bench.page import page, put_between, summary
from symgraph.bench.problems import PROBLEMS, problem
from symgraph.bench.process import Task, Worker, WorkerError, find_peers
from symgraph.bench.race import difference
from symgraph.bench.results import Missing, Outcome, Results, geometric_mean, load
from symgraph.bench.roofline import Level, Roofline, as_dict, from_dict, work_of
from symgraph.bench.timing import environment, medians
from symgraph.bench.workloads import WORKLOADS

MS = 1e-3
CORE = ("symgraph", "numpy", "llvmlite")
LINE = Roofline(100e9, (Level("L1", 32_000, 200e9), Level("memory", 10**9, 20e9)))


def outcome(engine: str, row: str, threads: int, *turns: float, peak: int = 100 << 20) -> Outcome:
    return Outcome(
        engine=engine, row=row, threads=threads, seconds=turns, first=2.0, peak=peak,
        compiling=0.8 if engine == "symgraph" else None, cached=0.05 if engine == "symgraph" else None,
    )  # fmt: skip


@pytest.fixture
def stored() -> Results:
    """Two rows, two peers, one of which misses a row."""
    rows = [
        outcome("symgraph", "mlp_train", 1, 3 * MS, 4 * MS, 5 * MS),
        outcome("PyTorch", "mlp_train", 1, 8 * MS, peak=250 << 20),
        outcome("JAX", "mlp_train", 1, 6 * MS),
        outcome("symgraph", "gemm1024", 1, 20 * MS),
        outcome("PyTorch", "gemm1024", 1, 15 * MS, peak=150 << 20),
    ]
    launch = {"title": "matmul", "line": "here", "seconds": 19 * MS, "bytes": 2**20, "flops": 10**9}
    described = {"bytes": 2**20, "flops": 10**9, "working_set": 10**6, "kernels": 1, "launches": [launch]}
    return Results(
        machine=dict.fromkeys(("processor", "cores", "system", "python", *CORE), "1"),
        versions={"symgraph": "0.1", "PyTorch": "2.13", "JAX": "0.10"},
        outcomes=rows,
        missing=[Missing("JAX", "gemm1024", 1, "it ran out of patience")],
        described={"gemm1024 1": described},
        own={"call": {"symgraph": 3.3e-7, "numpy": 7e-7}},
        roofline={"1": as_dict(LINE)},
    )


def test_the_ratio_is_the_best_peer_over_symgraph(stored: Results) -> None:
    assert stored.ratio("mlp_train", 1) == pytest.approx(6 / 4)  # medians: JAX's 6 ms, ours 4 ms
    assert stored.ratio("gemm1024", 1) == pytest.approx(15 / 20)
    assert stored.ratio("rnn_train", 1) is None and stored.ratio("mlp_train", 2) is None
    assert stored.geometric_mean(1) == pytest.approx((1.5 * 0.75) ** 0.5)
    assert stored.geometric_mean(2) is None
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_the_page_says_what_was_stored(stored: Results) -> None:
    text = page(stored)
    lines = text.splitlines()
    assert "| mlp_train | 4 ms | 50% | 8 ms | 6 ms | 1.5x | 3.5 ms | **no** |" in lines
    assert "| gemm1024 | 20 ms | 0% | 15 ms | - | 0.75x | 19.5 ms | **no** |" in lines
    assert "**On one thread: geometric mean 1.06x** over 2 of 9 rows" in text
    assert "below 1.0: gemm1024; not in it: mlp_infer1" in text
    assert "- JAX in gemm1024: it ran out of patience" in lines
    assert "| mlp_train | 800 ms | 50 ms | 1 s, 100 ms | yes | 2 s | 2 s | 2 s |" in lines
    assert "| mlp_train | 100 MiB | 250 MiB | 40% | yes |" in lines
    assert "| gemm1024 | 100 MiB | 150 MiB | 67% | **no** |" in lines
    assert "| a call with one small input and output | 0.33 us | at most 1 us | yes |" in lines
    assert "PyTorch 2.13, JAX 0.10" in text


def test_a_row_that_misses_its_goal_says_why(stored: Results) -> None:
    told = race_tables.shortfalls(stored)
    assert told.startswith("- *gemm1024* on one thread: 20 ms where 19.5 ms was the goal, 0.75x of the best")
    assert "1e+03 MFLOP and 1.05 MB (memory) need 10 ms at least, 50% of the time" in told
    assert "matmul (19 ms, 53% of the roofline)" in told
    fast = replace(stored.outcomes[3], seconds=(10 * MS,))
    assert race_tables.shortfalls(replace(stored, outcomes=[fast, *stored.outcomes[4:]])) == ""


def test_the_readme_gets_the_short_table(stored: Results) -> None:
    short = summary(stored)
    assert short.startswith("| one thread | symgraph | PyTorch | JAX |\n")
    assert f"| {PROBLEMS['mlp_train'].title} | 4 ms | 8 ms | 6 ms |" in short
    assert "geometric mean of the rows: 1.06x on 1 thread." in short
    placed = put_between("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", short)
    assert placed.startswith("before\n<!-- figures -->\n| one thread") and "old" not in placed
    with pytest.raises(ValueError, match="no place for the table"):
        put_between("nothing here", short)


def test_stored_figures_come_back(stored: Results, tmp_path: Path) -> None:
    stored.save(tmp_path / "deep" / "figures.json")
    assert load(tmp_path / "deep" / "figures.json") == stored
    (tmp_path / "other.json").write_text('{"outcomes": 3}')
    with pytest.raises(sg.InputError, match="not the figures of a benchmark"):
        load(tmp_path / "other.json")


def test_rows_that_are_measured_anew_are_forgotten(stored: Results) -> None:
    stored.forget(["mlp_train"])
    assert stored.outcomes and "mlp_train" not in {o.row for o in stored.outcomes}


def test_the_chart_has_a_bar_for_each_ratio(stored: Results) -> None:
    svg = ElementTree.parse(io.StringIO(ratios(stored)))
    texts = [element.text for element in svg.iter() if element.text and element.text.strip()]
    assert {"mlp_train", "gemm1024", "1.50", "0.75", "1 thread"} <= set(texts)
    both = chart("t", {"row": (2.0, None), "slow": (0.5, 0.3)}, ("1", "2"))
    boxes = [e for e in ElementTree.fromstring(both) if e.get("height") == "11"]
    assert len(boxes) == 3
    ends = [(float(b.get("x", 0)), float(b.get("x", 0)) + float(b.get("width", 0))) for b in boxes]
    assert ends[0][0] == pytest.approx(ends[1][1]) == pytest.approx(ends[2][1])  # all touch the line at 1


def test_the_roofline_takes_the_slower_of_both_bounds() -> None:
    assert LINE.seconds(10**9, 1000, 1000) == pytest.approx(10 * MS)
    assert LINE.seconds(10, 200_000, 1000) == pytest.approx(1e-6)
    assert LINE.seconds(10, 200_000, 10**6) == pytest.approx(10e-6)  # out of the first cache
    assert LINE.level(10**12).name == "memory"
    assert from_dict(as_dict(LINE)) == LINE
    launches = [{"flops": 10**9, "bytes": 0}, {"flops": 0, "bytes": 2 * 10**9}]
    work = work_of({"flops": 10**9, "bytes": 2 * 10**9, "working_set": 10**6, "launches": launches}, LINE)
    assert work.bound == pytest.approx(0.11) and work.memory_share == pytest.approx(10 / 11)


def test_rows_have_the_same_numbers_everywhere() -> None:
    first, second = problem("mlp_train"), problem("mlp_train")
    assert list(first.parameters) == [
        "0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias", "6.weight", "6.bias"
    ]  # fmt: skip
    for name, array in first.parameters.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, second.parameters[name])


def test_symgraph_computes_a_row_right() -> None:
    """Against the formulas in float64."""
    numbers = problem("mlp_infer1")
    prepared = prepare("mlp_infer1", 1)
    h = numbers.inputs[0].astype(np.float64)
    for layer in ("0", "2", "4"):
        w, b = (numbers.parameters[f"{layer}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        h = h @ w.T + b
        h = h if layer == "4" else np.maximum(h, 0)
    np.testing.assert_allclose(prepared.numbers(prepared.call())[0], h, rtol=1e-5, atol=1e-5)


def test_a_training_row_trains() -> None:
    prepared = prepare("mlp_train", 1)
    losses = [float(prepared.call()) for _ in range(5)]
    assert losses[-1] < losses[0] and graph_of("mlp_train").training


def test_answers_that_differ_are_told() -> None:
    one = [np.array([1.0, 2.0])]
    assert difference(one, [np.array([1.0, 2.001])], 1e-3) == ""
    assert difference(one, [np.array([1.0, 2.1])], 1e-3) == "answer 0 differs by 0.1 of 2"
    assert "nan" in difference(one, [np.array([1.0, np.nan])], 1e-3)
    assert "shapes" in difference(one, [np.array([1.0])], 1e-3)


def test_one_row_is_measured_and_written(tmp_path: Path) -> None:
    names = {name: tmp_path / name for name in ("page.md", "README.md", "chart.svg")}
    names["README.md"].write_text("<!-- figures -->\n<!-- end of figures -->\n")
    command = [sys.executable, "-m", "symgraph", "bench", "--rows", "mlp_infer1", "call", "--seconds", "0.01"]
    command += ["--threads", "1", "--write", str(names["page.md"]), "--readme", str(names["README.md"])]
    command += ["--picture", str(names["chart.svg"]), "--peers", sys.executable, str(tmp_path / "no-python")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = names["page.md"].read_text()
    assert "| mlp_infer1 | 1 | 3 in 3 launches |" in text and "| one thread | " in text
    assert "| a call with one small input and output | " in text
    assert f"| {PROBLEMS['mlp_infer1'].title} | " in names["README.md"].read_text()
    assert "PyTensor is left out: not installed in" in done.stderr and "is no Python that runs" in done.stderr
    assert names["chart.svg"].read_text().startswith("<svg")


def test_a_worker_that_fails_says_its_last_words(tmp_path: Path) -> None:
    task = Task("symgraph", "no_such_row", 1, sys.executable, tmp_path)
    with Worker(task) as worker, pytest.raises(WorkerError, match="KeyError: 'no_such_row'"):
        worker.listen()
    assert find_peers([]) == {}


def test_every_own_figure_has_a_workload() -> None:
    assert {*OWN, MACHINE} == {*WORKLOADS, "start", "demo"}


def test_a_switch_leaves_the_results_as_they_are(tmp_path: Path) -> None:
    page_file = tmp_path / "page.md"
    page_file.write_text("top\n<!-- ablation -->\n<!-- end of ablation -->\nend\n")
    command = [sys.executable, "-m", "symgraph.bench.ablation", "--rows", "mlp_infer1", "--seconds", "0.01"]
    done = subprocess.run([*command, "--write", str(page_file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page_file.read_text()
    assert text.startswith("top\n<!-- ablation -->\n### Between processes") and text.endswith("end\n")
    assert "| mlp_infer1 | the cache on disk (sg.function) |" in text and "the native entry" in text
    launches = {line.split(" | ")[0]: line.split(" | ")[3] for line in text.splitlines() if " MiB |" in line}
    assert launches == {"| (nothing)": "3", "| fusion": "8"}


def test_a_pass_that_is_needed_cannot_be_left_out() -> None:
    x = sg.input("x", (3,))
    f = sg.function([x], sg.exp(x))
    with pytest.raises(ValueError, match="derive_gradients"):
        function_of(f.graph, sg.exp(x), skip=["derive_gradients"])
    apart = function_of(f.graph, sg.exp(x), fuse=False, skip=["simplify"])
    np.testing.assert_array_equal(apart(np.ones(3, np.float32)), f(np.ones(3, np.float32)))


def test_every_call_is_timed() -> None:
    seen: list[str] = []
    found = medians({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, seconds=0.0)
    assert list(found) == ["a", "b"] and min(found.values()) > 0
    assert set(seen) == {"a", "b"}


def test_libraries_run_on_so_many_threads_with_their_own_kernels() -> None:
    made = environment({"OPENBLAS_CORETYPE": "Prescott", "PATH": "/bin"})
    assert "OPENBLAS_CORETYPE" not in made
    assert (made["PATH"], made["OPENBLAS_NUM_THREADS"], made["SYMGRAPH_THREADS"]) == ("/bin", "1", "1")
    assert environment({}, 2)["OMP_NUM_THREADS"] == "2" and environment({}, 2)["XLA_FLAGS"] == ""
