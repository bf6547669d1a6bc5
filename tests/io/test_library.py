"""The safetensors library is asked for when a file is, and what it could not read again is not written."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg
from symgraph.io import tensor_file

ARRAYS = {"a": np.ones(2, np.float32), "b": np.ones((), np.float32), "c": np.ones((2, 2))}


def test_importing_symgraph_does_not_import_it():
    code = "import sys, symgraph, symgraph.io, symgraph.saved; assert 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "x"
    sg.save(path, ARRAYS)
    before = path.read_bytes()
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    x = sg.input("x", (2,))
    calls = [
        lambda: sg.save(path, {"a": np.zeros(2)}),
        lambda: sg.load(path),
        lambda: sg.load(path, verify=False),
        lambda: sg.function([x], x * 2.0).save(path),
    ]
    for call in calls:
        with pytest.raises(sg.CheckpointError, match=r"x: .*pip install 'symgraph\[io\]'") as caught:
            call()
        assert isinstance(caught.value.__cause__, ImportError)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("limit", "value"), [("LARGEST_HEADER", 64), ("MOST_COMMAS", 8)])
def test_what_could_not_be_read_again_is_not_written(tmp_path, monkeypatch, limit, value):
    sg.save(tmp_path / "x", ARRAYS)
    monkeypatch.setattr(tensor_file, limit, value)
    for call in (lambda: sg.save(tmp_path / "y", ARRAYS), lambda: sg.load(tmp_path / "x")):
        with pytest.raises(sg.CheckpointError, match="allowed"):
            call()
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_a_long_text_does_not_count_as_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "MOST_COMMAS", 20)
    tree = {**ARRAYS, "note": 'commas, and "quotes", \\ and \\", ' * 50}
    sg.save(tmp_path / "x", tree)
    assert sg.load(tmp_path / "x")["note"] == tree["note"]


def test_the_memory_that_is_saved_is_the_arrays_as_it_looks(tmp_path):
    """The library by itself writes the bytes as they lie, in whatever order."""
    table = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    views = {
        "transposed": table.T,
        "every second": table[:, ::-2, 1:],
        "fortran": np.asfortranarray(table),
        "repeated": np.broadcast_to(table[0, 0], (5, 4)),
        "scalar": table[1, 2, 3],
        "0-d": table[1, 2, 3, ...],
        "unaligned": np.frombuffer(b"x" + table.tobytes(), np.float32, offset=1),
        "read-only": np.frombuffer(table.tobytes(), np.float32),
    }
    sg.save(tmp_path / "x", views)
    found = sg.load(tmp_path / "x")
    for name, view in views.items():
        assert found[name].shape == view.shape and found[name].dtype == view.dtype
        assert np.array_equal(found[name], view) and found[name].flags.c_contiguous
        assert found[name].flags.writeable
