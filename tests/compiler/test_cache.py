"""The cache of object code on disk: hits, damage, and all that may be wrong with a folder."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from native_programs import copy_program, two_steps, two_steps_result

from compiler.jit import cache
from compiler.jit.identity import program_identity
from compiler.jit.load import load
from compiler.llvm.target import Target

TEXT = "define i32 @answer() {\n  ret i32 42\n}\n"


def text() -> str:
    return TEXT


def key(module: str, target: Target) -> str:
    return cache.key_of(module.encode(), target)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SYMGRAPH_CACHE", raising=False)
    return tmp_path / "cache"


def entry(folder: Path) -> Path:
    (path,) = folder.glob("*.object")
    return path


def test_the_second_time_comes_from_the_disk(folder):
    host = Target.host()
    code, found = cache.compiled(text, host, cache=True)
    assert not found and len(list(folder.iterdir())) == 1
    assert cache.compiled(text, host, cache=True) == (code, True)
    assert cache.compiled(text, host, cache=False) == (code, False)


def test_loaded_code_runs(folder):
    x = np.ones((3, 64), np.float32)
    first, second = load(two_steps()), load(two_steps())
    assert not first.code.from_cache and second.code.from_cache
    assert first.code.object_code == second.code.object_code
    np.testing.assert_allclose(second(x), two_steps_result(x))
    assert "two_steps_run" in second.code.assembly()


def test_the_key_depends_on_all_that_the_code_depends_on(monkeypatch):
    host = Target.host()
    keys = {
        key(TEXT, host), key(TEXT + "\n", host),
        key(TEXT, Target(host.triple, host.cpu, host.features + ",+avx")),
        key(TEXT, Target(host.triple, "x86-64", host.features)),
        key(TEXT, Target("aarch64-unknown-linux-gnu", host.cpu, host.features)),
    }
    monkeypatch.setattr(cache, "versions", lambda: "another LLVM")
    assert len(keys | {key(TEXT, host)}) == 6


def test_programs_are_found_without_emitting_them(folder, monkeypatch):
    load(two_steps())
    monkeypatch.setattr("compiler.llvm.entry.emit_program", lambda *a, **k: pytest.fail("emitted"))
    assert load(two_steps()).code.from_cache
    with pytest.raises(pytest.fail.Exception):
        load(two_steps("another_name"))


def test_identities_tell_programs_apart_and_do_not_depend_on_the_process():
    one, other = copy_program((3,), np.dtype(np.float32)), copy_program((4,), np.dtype(np.float32))
    identities = [program_identity(p, fast) for p in (one, other, two_steps()) for fast in (True, False)]
    assert len(set(identities)) == 6 and None not in identities
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import hashlib, symgraph\n"
        "from native_programs import two_steps\n"
        "from compiler.jit.identity import program_identity\n"
        "from compiler.llvm.entry import emit_program\n"
        "from compiler.llvm.target import Target\n"
        "print(hashlib.sha256(program_identity(two_steps(), True)).hexdigest())\n"
        "print(hashlib.sha256(emit_program(two_steps(), Target.host(), python=True).encode()).hexdigest())\n"
    )
    here = Path(__file__)
    command = [sys.executable, "-c", code, str(here.parents[2]), str(here.parent)]
    runs = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1 and len(runs.pop().split()) == 2


def test_every_damage_is_noticed_and_repaired(folder):
    host = Target.host()
    code, _ = cache.compiled(text, host, cache=True)
    path = entry(folder)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 1, 17, 100, len(whole) - 1)] + [whole + b"\0", b"\0" * len(whole)]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 7)]
    for data in damaged:
        path.write_bytes(data)
        assert cache.read(folder, key(TEXT, host)) is None
    assert cache.compiled(text, host, cache=True) == (code, False)
    assert path.read_bytes() == whole


def test_an_entry_under_a_wrong_name_is_not_taken(folder):
    host = Target.host()
    cache.compiled(text, host, cache=True)
    other = key(TEXT + "; another", host)
    entry(folder).rename(folder / f"{other}.object")
    assert cache.read(folder, other) is None


def test_off_by_environment(folder, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_CACHE", "0")
    load(copy_program((3,), np.dtype(np.float32)))
    assert cache.directory() is None and not folder.exists()


@pytest.mark.parametrize(
    "kind", ["file", "below a file", "read-only", "directory in the entry's place", "nul"]
)
def test_folders_that_do_not_work_are_no_cache(tmp_path, monkeypatch, kind):
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    chosen = {"file": blocker, "below a file": blocker / "x", "read-only": Path("/proc/self/x")}.get(kind)
    if kind == "directory in the entry's place":
        chosen = tmp_path / "c"
        (chosen / f"{key(TEXT, Target.host())}.object").mkdir(parents=True)
    monkeypatch.setattr(cache, "directory", lambda: chosen or Path("nul\0"))
    for _ in range(2):
        code, found = cache.compiled(text, Target.host(), cache=True)
        assert code and not found
    assert not list(tmp_path.glob("**/*.part"))


def test_no_home(monkeypatch):
    for name in ("SYMGRAPH_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache.directory() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.directory() == Path("/somewhere/symgraph")


def test_a_full_disk_leaves_nothing_half_written(folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        _, found = cache.compiled(text, Target.host(), cache=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not found and not list(folder.iterdir())


def test_the_oldest_entries_go_first(folder):
    folder.mkdir()
    for age in range(10):
        path = folder / f"{age}.object"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - age))
    (folder / "other.txt").write_bytes(b"x" * 1000)
    cache.shrink(folder, 350)
    assert sorted(p.name for p in folder.iterdir()) == ["0.object", "1.object", "2.object", "other.txt"]


def test_processes_that_write_at_once(folder):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import symgraph\n"
        "from pathlib import Path\n"
        "from compiler.jit import cache\n"
        "folder = Path(sys.argv[2])\n"
        "for i in range(200):\n"
        "    cache.write(folder, 'a' * 64, b'%d' % (i % 3) * 5000)\n"
        "    found = cache.read(folder, 'a' * 64)\n"
        "    assert found is not None and len(set(found)) == 1 and len(found) == 5000\n"
    )
    root = str(Path(__file__).parents[2])
    children = [subprocess.Popen([sys.executable, "-c", code, root, str(folder)]) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert len(list(folder.iterdir())) == 1
