"""The thread pool: every task once, whoever calls, however many threads there are."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from native_programs import BATCH, affine_kernel, argument, axes, input_place, nest, output_place

from compiler.jit.load import load
from compiler.jit.runtime import runtime, thread_count
from compiler.llvm.engine import Library
from compiler.llvm.entry_work import emit_is_worth_sharing
from compiler.llvm.object import compile_module
from compiler.llvm.runtime_pool import MOST_THREADS, has_pool
from compiler.llvm.runtime_text import Writer
from compiler.llvm.target import Target
from compiler.loop.grammar import (
    Buffer,
    For,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Store,
    binary,
    constant,
    index,
)
from compiler.program import Launch, Program
from symgraph.types import float32, int64

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not has_pool(Target.host().triple), reason="the pool needs Linux")

# A task adds 1 to each of its counters; `bench` runs the pool n times over.
TASKS = """
define void @count(ptr %counters, i64 %begin, i64 %end) {
entry:
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  %place = getelementptr i64, ptr %counters, i64 %i
  %old = atomicrmw add ptr %place, i64 1 monotonic
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}
define void @repeat(ptr %parallel, ptr %counters, i64 %tasks, i64 %threads, i64 %times) {
entry:
  br label %again
again:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  call void %parallel(ptr @count, ptr %counters, i64 %tasks, i64 %threads)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %again, label %done
done:
  ret void
}
"""


@pytest.fixture(scope="module")
def repeat():
    """repeat(counters, threads, times): the counters are the tasks."""
    library = Library(compile_module(TASKS, Target.host()), ["repeat"])
    kinds = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3]
    function = ctypes.CFUNCTYPE(None, *kinds)(library.addresses["repeat"])

    def call(counters: np.ndarray, threads: int, times: int = 1) -> None:
        function(runtime().parallel, counters.ctypes.data, len(counters), threads, times)

    call.library = library
    return call


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 7, 8, 64, 1001])
def test_every_task_runs_once(repeat, tasks, threads):
    counters = np.zeros(tasks, np.int64)
    repeat(counters, threads)
    assert np.all(counters == 1)


def test_many_small_jobs(repeat):
    counters = np.zeros(16, np.int64)
    repeat(counters, 4, 2_000)
    repeat(counters, 2, 20_000)
    assert np.all(counters == 22_000)


def test_callers_from_several_threads_at_once(repeat):
    counters = [np.zeros(33, np.int64) for _ in range(6)]
    threads = [threading.Thread(target=repeat, args=(array, 3, 5_000)) for array in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.all(array == 5_000) for array in counters)


def test_workers_sleep_and_wake(repeat):
    counters = np.zeros(8, np.int64)
    for _ in range(20):
        repeat(counters, 2)
        threading.Event().wait(0.002)
    assert np.all(counters == 20)


def test_an_idle_pool_takes_no_time(repeat):
    repeat(np.zeros(8, np.int64), 4)
    threading.Event().wait(0.01)
    before = sum(os.times()[:2])
    threading.Event().wait(0.3)
    assert sum(os.times()[:2]) - before < 0.1


def test_workers_take_no_signals():
    status = [
        Path(f"/proc/self/task/{task}/status").read_text() for task in os.listdir("/proc/self/task")
    ]
    blocked = [int(line.split()[1], 16) for text in status for line in text.splitlines() if "SigBlk" in line]
    alarm = 1 << 13
    assert not blocked[0] & alarm and any(mask & alarm for mask in blocked[1:])


def rows_program() -> Program:
    """out = x * x by rows, split among threads."""
    shape = (BATCH, 33)
    x, out = Buffer("x", float32, shape), Buffer("out", float32, shape)
    at = axes(shape)
    body = nest(shape, Store(out, at, Load(x, at) * Load(x, at)), "parallel")
    launch = Launch(Kernel("square", (x, out), ("batch",), body), (input_place(0), output_place(0)), (BATCH,))
    inputs, outputs = (argument("x", shape),), (argument("out", shape),)
    return Program("square", inputs, outputs, (), ("batch",), (), (launch,))


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64, 40_099])
def test_results_do_not_depend_on_the_number_of_threads(batch):
    x = np.random.default_rng(batch).normal(size=(batch, 33)).astype(np.float32)
    for threads in (1, 2, 3, 8):
        assert np.array_equal(load(rows_program(), threads=threads)(x), x * x)


def shared_by(kernel: Kernel, extents: list[str]) -> str:
    return emit_is_worth_sharing(Writer(), kernel, extents)


def test_only_launches_with_enough_work_are_shared():
    small, large = (affine_kernel("k", (rows, 64), 2.0, 1.0, "parallel") for rows in (100, 10_000))
    assert shared_by(small, []) == "false" and shared_by(large, []) == "true"
    named = affine_kernel("k", (BATCH, 64), 2.0, 1.0, "parallel")
    assert shared_by(named, ["100"]) == "false" and shared_by(named, ["10000"]) == "true"
    assert shared_by(named, ["%batch"]).startswith("%")


def test_work_of_tiles_follows_locals_and_bounds():
    """64 tasks of rows [128 t, min(128 t + 128, 8192)) by 64 columns, the bounds in locals."""
    out = Buffer("out", float32, (8192, 64))
    task, row, column = Index("t"), Index("r"), Index("c")
    start, stop = Local("start", int64), Local("stop", int64)
    inner = For("c", index(0), index(64), (Store(out, (row, column), constant(0.0, float32)),), mode="vector")
    body = (
        Let("start", task % 64 * 128), Let("stop", binary("minimum", start + 128, index(8192))),
        For("r", start, stop, (inner,)),
    )
    for tasks, wanted in ((64, "true"), (2, "false")):
        kernel = Kernel("tiles", (out,), (), (For("t", index(0), index(tasks), body, mode="parallel"),))
        assert shared_by(kernel, []) == wanted


def test_thread_count(monkeypatch):
    monkeypatch.delenv("SYMGRAPH_THREADS", raising=False)
    monkeypatch.setattr("compiler.jit.runtime.available_cores", lambda: 1000)
    assert thread_count(None) == MOST_THREADS and thread_count(3) == 3
    monkeypatch.setenv("SYMGRAPH_THREADS", "5")
    assert thread_count(None) == 5 and thread_count(2) == 2 and thread_count(10**6) == MOST_THREADS
    for wrong in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("SYMGRAPH_THREADS", wrong)
        with pytest.raises(ValueError, match="SYMGRAPH_THREADS must be a number of threads"):
            thread_count(None)
    monkeypatch.setattr("compiler.jit.runtime.available_cores", lambda: 4)
    assert thread_count(2) == 2 and thread_count(8) == 4
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="threads must be 1 or more"):
            thread_count(wrong)


def test_fork_while_others_use_the_pool():
    head = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
    code = """
        import os, threading, numpy as np
        import symgraph
        from test_threads import rows_program
        from compiler.jit.load import load
        f = load(rows_program(), threads=4)
        x = np.ones((5000, 33), np.float32)
        f(x)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                f(x)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for t in threads: t.start()
        codes = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if all(np.array_equal(f(x), x) for _ in range(20)) else 1)
            codes.append(os.waitpid(child, 0)[1])
        stop.set()
        for t in threads: t.join()
        print(codes)
    """
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert done.stdout.strip() == str([0] * 10), done.stderr


PROFILED = """
import os
import numpy as np
import symgraph as sg

f = sg.trace(lambda a, b: sg.tanh(a @ b), (256, 256), (256, 256), threads=THREADS)
a = np.ones((256, 256), np.float32)
before = len(os.listdir("/proc/self/task"))
f.profile(a, a, calls=2)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_profile_runs_on_the_functions_own_threads(threads):
    code = PROFILED.replace("THREADS", str(threads))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(done.stdout) == threads - 1
