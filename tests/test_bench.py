"""The benchmark runs and writes its page; nothing here asks how fast anything is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from symgraph.bench.measure import Measured
from symgraph.bench.page import page, put_between, summary
from symgraph.bench.timing import medians, one_thread


def test_one_workload_is_measured_and_written(tmp_path: Path) -> None:
    target, readme = tmp_path / "page.md", tmp_path / "README.md"
    readme.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    command = [sys.executable, "-m", "symgraph.bench", "--only", "mlp_infer", "--seconds", "0.01"]
    command += ["--write", str(target), "--readme", str(readme)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| MLP 64-128-64-10, one row | " in target.read_text()
    short = readme.read_text()
    assert short.startswith("before\n<!-- figures -->\n| one thread | symgraph |\n")
    assert short.endswith("<!-- end of figures -->\nafter\n") and "old" not in short


def test_a_missing_peer_is_left_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "symgraph.bench", "--only", "mlp_infer", "--seconds", "0.01"]
    done = subprocess.run([*command, "--peers", str(tmp_path / "no-python")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "PyTorch is left out of mlp_infer" in done.stderr


def test_rows_say_whether_a_goal_is_met() -> None:
    call = {"symgraph": 3.3e-7, "numpy": 7e-7}
    measured = Measured(
        ours={"call": call, "mlp_infer": {"symgraph": 4e-6}},
        peers={"PyTorch": {"mlp_infer": {"median": 2.5e-5, "first call": 1.0}}},
        versions={"PyTorch": "2.13"},
    )
    lines = page(measured).splitlines()
    assert "| a call with one small input and output | 0.33 us | at most 1 us | yes |  |" in lines
    assert "| MLP 64-128-64-10, one row | 4 us | at most 3 us | **no** | 25 us |" in lines
    assert "| MLP 64-128-64-10, one row | 4 us | 25 us |" in summary(measured).splitlines()


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        put_between("nothing here", "table")


def test_every_call_is_timed() -> None:
    seen: list[str] = []
    found = medians({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, seconds=0.0)
    assert list(found) == ["a", "b"] and min(found.values()) > 0
    assert set(seen) == {"a", "b"}


def test_libraries_run_on_one_thread_with_their_own_kernels() -> None:
    made = one_thread({"OPENBLAS_CORETYPE": "Prescott", "PATH": "/bin"})
    assert "OPENBLAS_CORETYPE" not in made
    assert (made["PATH"], made["OPENBLAS_NUM_THREADS"], made["SYMGRAPH_THREADS"]) == ("/bin", "1", "1")
