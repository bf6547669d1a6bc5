"""The examples run, as a user runs them, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROMISES = {
    "mlp.py": r"accuracy (9\d|100)\.\d%",
    "lecture_rnn_cell.py": r"both worlds agree; \d+ kernels",
    "handwritten_norm.py": r"forward: 1 launch[\s\S]*both worlds agree",
    "cnn_digits.py": r"both worlds agree, 23 steps[\s\S]*test accuracy (9[89]\.\d+|100\.00)%",
    "rnn_sequences.py": r"both worlds agree[\s\S]*test accuracy (9\d|100)\.\d%",
    "digits.py": r"test accuracy 9[789]\.\d+%\nwritten: digits.h, digits.o, .*step.svg",
}


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PROMISES)


@pytest.mark.parametrize("name", PROMISES)
def test_example(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(PROMISES[name], done.stdout), done.stdout


def test_the_lectures_program_is_as_it_stands_there() -> None:
    """Only the import and the constructors differ from the slide."""
    lines = (EXAMPLES / "lecture_rnn_cell.py").read_text().splitlines()
    start = lines.index("x, prev_h = randn(1, 10), randn(1, 20)")
    assert lines[start : start + 6] == [
        "x, prev_h = randn(1, 10), randn(1, 20)",
        "W_h, W_x = randn(20, 20), randn(20, 10)",
        "i2h = W_x @ x.T",
        "h2h = W_h @ prev_h.T",
        "next_h = tanh(i2h + h2h)",
        "next_h.backward(ones(20, 1))",
    ]


def test_the_short_example_is_twenty_lines() -> None:
    lines = (EXAMPLES / "mlp.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith(('"""', "import", "from"))]
    assert len(code) <= 20
