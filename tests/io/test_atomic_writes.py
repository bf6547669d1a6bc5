"""Whatever interrupts a save, the old file or the new one is there, and nothing else."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from symgraph.errors import CheckpointError
from symgraph.io import load, save
from symgraph.io.atomic import replace_file

OLD = {"weights": np.zeros(100_000, np.float32)}
NEW = {"weights": np.ones(100_000, np.float32)}

WRITER = """
import sys
import numpy as np
from symgraph.io import save
print("ready", flush=True)
while True:
    for value in (0, 1):
        save(sys.argv[1], {"weights": np.full(100_000, value, np.float32)})
"""


def test_a_killed_writer_leaves_the_old_or_the_new_file(tmp_path):
    path = tmp_path / "model.sg"
    save(path, OLD)
    generator = random.Random(0)
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(3):
            time.sleep(generator.random() * 0.03)
            assert load(path)["weights"].std() == 0.0
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert load(path)["weights"].std() == 0.0
    save(path, NEW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.sg"]  # leftovers are swept


def test_temporary_files_of_living_writers_and_others_stay(tmp_path):
    keep = [f".model.{os.getpid()}-aa.tmp", ".other.999999999-aa.tmp", ".model.note.tmp"]
    for name in [*keep, ".model.999999999-aa.tmp"]:
        (tmp_path / name).write_bytes(b"")
    save(tmp_path / "model", OLD)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*keep, "model"])


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.sg"
    save(path, OLD)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 4096, 100_000, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(OSError, match=r"model\.sg") as caught:
                save(path, NEW)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.errno
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["model.sg"]
    save(path, NEW)
    assert load(path)["weights"].all()


def test_the_order_of_system_calls(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    replace_file(tmp_path / "x", [b"content"])
    assert calls == ["fsync", "replace", "fsync"]


def test_missing_directories_and_odd_targets(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        save(tmp_path / "nowhere" / "x", OLD)
    for path, kind in ((tmp_path, "directory"), ("/dev/full", "device")):
        with pytest.raises(CheckpointError, match=kind):
            save(path, OLD)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to("real")
    save(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "real")["weights"].all()


def test_the_umask_decides_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        save(tmp_path / "x", OLD)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["ü" * 120, "a b'\";\n.sg", "-rf"])
def test_odd_names(tmp_path, name):
    save(tmp_path / name, NEW)
    assert load(tmp_path / name)["weights"].all()
    assert len(list(tmp_path.iterdir())) == 1
