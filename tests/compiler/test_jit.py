"""Compiled functions called from Python: conversions, errors, workspaces, lifetimes."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from native_programs import (
    BATCH,
    accumulate_weight,
    affine_kernel,
    argument,
    copy_program,
    input_place,
    nest,
    output_place,
    scaled_by_weight,
    sum_and_difference,
    two_steps,
    two_steps_result,
)

from compiler.jit.load import load
from compiler.jit.workspace import WorkspaceError
from compiler.llvm.entry import emit_program
from compiler.llvm.entry_kernels import distinct_kernels
from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, If, Index, Kernel, Load, Store, constant
from compiler.program import Check, Launch, Place, Program, Slot
from symgraph.dimension import Dim
from symgraph.errors import CompileError, InputError
from symgraph.types import DTYPES, float32, float64, int64

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def double():
    return load(two_steps(), threads=1)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 2, 7, 16, 33, 1000])
def test_one_compile_runs_any_batch(double, batch):
    x = values(batch, 64)
    result = double(x)
    assert result.dtype == np.float32 and result.shape == (batch, 64)
    np.testing.assert_allclose(result, two_steps_result(x), rtol=1e-5, atol=1e-5)
    assert double.workspace_bytes({"batch": batch}) == batch * 256


def test_empty_dimensions_are_for_the_fallback(double):
    with pytest.raises(InputError, match=r"a dimension is less than 1 or .*batch=0"):
        double(values(0, 64))
    function = load(two_steps(), fallback=lambda arrays: arrays[0] + 1)
    assert function(values(0, 64)).shape == (0, 64)
    assert np.array_equal(function(values(2, 64)), double(values(2, 64)))


def test_an_index_that_a_kernel_finds_wrong_ends_the_run():
    """A kernel writes a flag into the arena, the check after it reads it, the update comes later."""
    x, flag = Buffer("x", int64, (3,)), Buffer("flag", np.dtype(np.int32), (1,))
    w = Buffer("w", int64, (3,))
    at, zero = (Index("i0"),), (constant(0, int64),)
    clear = Store(flag, zero, constant(0, flag.dtype))
    mark = If(Load(x, at) > 2, (Store(flag, zero, constant(1, flag.dtype)),))
    find = Kernel("find", (x, flag), (), (clear, *nest((3,), mark)))
    add = Kernel("add", (x, w), (), nest((3,), Store(w, at, Load(w, at) + Load(x, at))))
    launches = (
        Launch(find, (input_place(0), Place("arena", 0)), ()),
        Launch(add, (input_place(0), Place("weight", 0)), ()),
    )
    program = Program(
        "checked", (argument("x", (3,), int64),), (), (argument("w", (3,), int64),), (), (Slot((4,)),),
        launches, (Check(0, Place("arena", 0)),),
    )
    weight = np.zeros(3, np.int64)
    function = load(program, weights=[weight])
    assert function([0, 1, 2]) == () and weight.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="outside its range"):
        function([0, 1, 3])
    assert weight.tolist() == [0, 1, 2]


def test_results_are_fresh_and_inputs_unchanged(double):
    x = values(3, 64)
    before = x.tobytes()
    first = double(x)
    kept = first.copy()
    second = double(first)
    assert np.array_equal(first, kept) and x.tobytes() == before
    np.testing.assert_allclose(second, two_steps_result(kept), rtol=1e-5, atol=1e-4)


def test_several_outputs_are_a_tuple_and_one_array_may_be_given_twice():
    function = load(sum_and_difference())
    x = values(4, 3)
    plus, minus = function(x, x)
    assert np.array_equal(plus, x + x) and not minus.any()


def test_no_outputs_is_an_empty_tuple_and_weights_are_used_in_place():
    w = np.zeros(1000, np.float32)
    function = load(accumulate_weight(), weights=[w])
    x = values(1000)
    assert function(x) == () and function(x) == ()
    assert np.array_equal(w, x + x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0,), (3, 0)])
def test_every_dtype_and_rank(dtype, shape):
    function = load(copy_program(shape, dtype))
    x = (np.random.default_rng(1).normal(size=shape) * 10).astype(dtype)
    result = function(x)
    assert type(result) is np.ndarray and result.dtype == dtype and result.shape == shape
    assert np.array_equal(result, x)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
        lambda x: x.astype(">f4"),
        lambda x: x.tolist(),
        lambda x: tuple(map(tuple, x.tolist())),
        lambda x: memoryview(x),
        lambda x: x.view(type("Sub", (np.ndarray,), {})),
        lambda x: _read_only(x),
        lambda x: np.asmatrix(x) if x.ndim == 2 else x,
    ],
    ids=[
        "fortran", "strided", "negative", "unaligned", "big-endian", "list", "tuple", "memoryview",
        "subclass", "read-only", "matrix",
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_is_converted_gives_the_same_bits(double, change):
    x = values(6, 64)
    assert double(change(x)).tobytes() == double(x).tobytes()


def _read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def test_broadcast_view_is_copied(double):
    row = values(1, 64)
    wide = np.broadcast_to(row, (5, 64))
    assert np.array_equal(double(wide), np.repeat(double(row), 5, axis=0))


@pytest.mark.parametrize(
    ("dtype", "value", "result"),
    [
        (float32, 3, 3.0), (float32, 0.1, np.float32(0.1)), (float32, np.float64(0.5), 0.5), (int64, 7, 7),
        (int64, np.int32(7), 7), (np.dtype(bool), True, True), (float64, float("nan"), float("nan")),
    ],
)
def test_python_scalars_take_the_declared_dtype(dtype, value, result):
    out = load(copy_program((), dtype))(value)
    assert out.dtype == dtype and np.array_equal(out, result, equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (float32, 2**24 + 1), (float32, 1e300), (float32, True), (float32, 1j), (float32, None),
        (float32, "1"), (int64, 1.0), (int64, 2**63), (int64, True), (np.dtype(bool), 1),
        (np.dtype(np.int32), 2**31),
        pytest.param(float32, object(), id="object"),
        (float32, np.float64([1.0, 2.0])), (float32, np.zeros((), np.float16)),
        (float32, b"1"), (float32, {}), (float32, {1.0}),
    ],
    ids=repr,
)
def test_what_would_lose_something_is_refused(dtype, value):
    with pytest.raises(InputError, match="input 'x' expected"):
        load(copy_program((), dtype))(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 64)), r"input 'x' expected f32\[batch, 64\], got f64\[2, 64\]; .*astype\('float32'\)"),
        (np.zeros((2, 63), np.float32), r"input 'x' expected f32\[batch, 64\], got f32\[2, 63\]"),
        (np.zeros(64, np.float32), r"input 'x' expected f32\[batch, 64\], got f32\[64\]"),
        (np.zeros((2, 64), np.float16), r"got float16\[2, 64\]"),
        (np.zeros((2, 64), object), r"got object\[2, 64\]"),
        (np.ma.masked_array(np.zeros((2, 64), np.float32)), "masked"),
        ([[1.0, 2.0], [3.0]], "inhomogeneous"),
    ],
)
def test_errors_name_the_input_what_came_and_what_was_declared(double, value, text):
    with pytest.raises(InputError, match=text):
        double(value)


def test_wrong_count(double):
    with pytest.raises(InputError, match=r"two_steps takes 1 array \(x: f32\[batch, 64\]\), got 2"):
        double(values(1, 64), values(1, 64))
    with pytest.raises(InputError, match="got 0"):
        double()


def test_dimension_conflict_names_both_inputs():
    function = load(sum_and_difference())
    with pytest.raises(InputError) as caught:
        function(values(4, 3), values(5, 3))
    text = str(caught.value)
    assert "input 'y' expected f32[batch, 3], got f32[5, 3]" in text
    assert "batch is 4 in input 'x', f32[4, 3] for f32[batch, 3]" in text


def shifted_program() -> Program:
    """out[n - 3] = 2 x for x of f32[2*n + 1]: a dimension that only a formula determines."""
    n = Dim.named("n")
    x, out = argument("x", (2 * n + 1,)), argument("out", (n - 3,))
    launch = Launch(affine_kernel("shift", (n - 3,), 2.0, 0.0), (input_place(0), output_place(0)), (n,))
    return Program("shifted", (x,), (out,), (), ("n",), (), (launch,))


def test_dimension_from_a_formula():
    function = load(shifted_program())
    x = values(21)
    assert np.array_equal(function(x), 2 * x[:7])
    with pytest.raises(InputError, match=r"x' expected f32\[2\*n\+1\], got f32\[20\]"):
        function(values(20))
    with pytest.raises(InputError, match="output 'out'"):
        function(values(3))


def test_dimension_that_no_input_determines():
    program = copy_program((BATCH,), float32, ["batch"])
    lost = Program("lost", (), program.outputs, (), ("batch",), (), ())
    with pytest.raises(CompileError, match="no input determines the size of dimension 'batch'"):
        load(lost)


def test_weights_are_checked():
    with pytest.raises(CompileError, match="1 weights, got 0"):
        load(scaled_by_weight())
    with pytest.raises(CompileError, match=r"weight 'w' must be a C-contiguous f32\[5\], got float64"):
        load(scaled_by_weight(), weights=[np.zeros(5)])
    with pytest.raises(CompileError, match="C-contiguous"):
        load(scaled_by_weight(), weights=[np.zeros(10, np.float32)[::2]])


def test_weight_changed_in_place_is_seen():
    w = np.ones(5, np.float32)
    function = load(scaled_by_weight(), weights=[w])
    x = values(2, 5)
    assert np.array_equal(function(x), x)
    w[:] = 3
    assert np.array_equal(function(x), x * np.float32(3))


def test_equal_kernels_are_emitted_once():
    shape = (BATCH, 64)
    same = [affine_kernel(f"layer{i}", shape, 2.0, 1.0, prefix=f"layer{i}_") for i in range(20)]
    other = affine_kernel("other", shape, 2.0, 1.5)
    slot = Slot((BATCH * 256,))
    arena = [Place("arena", i) for i in range(21)]
    launches = [Launch(same[0], (input_place(0), arena[0]), (BATCH,))]
    launches += [Launch(same[i], (arena[i - 1], arena[i]), (BATCH,)) for i in range(1, 20)]
    launches.append(Launch(other, (arena[19], output_place(0)), (BATCH,)))
    program = Program("deep", (argument("x", shape),), (argument("y", shape),), (), ("batch",), (slot,) * 20,
                      tuple(launches))
    kernels, order = distinct_kernels(program)
    assert len(kernels) == 2 and order == (0,) * 20 + (1,)
    defined = re.findall(r"define internal void @(\w+)\(", emit_program(program, Target.host()))
    assert len([name for name in defined if not name.endswith(("_launch", "_task"))]) == 2
    x = np.full((2, 64), -1.0, np.float32)
    assert np.array_equal(load(program)(x), np.full((2, 64), -0.5, np.float32))


def test_slots_are_laid_out_static_first_and_aligned():
    slots = (Slot((BATCH * 4, 100)), Slot((10,)), Slot((BATCH * 4 + 8, BATCH * 2)), Slot((65, 64)))
    base = copy_program((BATCH,), float32, ["batch"])
    program = Program("slots", base.inputs, base.outputs, (), base.dims, slots, base.launches)
    function = load(program)
    # 10 -> 64, 65 -> 128, max(4 n, 100) and max(4 n + 8, 2 n), each rounded up to 64
    assert function.workspace_bytes({"batch": 1}) == 64 + 128 + 128 + 64
    assert function.workspace_bytes({"batch": 30}) == 64 + 128 + 128 + 128
    assert function.workspace_bytes({"batch": 100}) == 64 + 128 + 448 + 448
    assert function.workspace_bytes({"batch": 2**61}) == 2**64 - 1
    assert function.workspace_bytes({"batch": 0}) == 2**64 - 1
    assert np.array_equal(function(values(9)), values(9))


def test_workspace_that_does_not_fit_is_a_memory_error():
    base = copy_program((BATCH,), float32, ["batch"])
    program = Program("huge", base.inputs, base.outputs, (), base.dims, (Slot((2**56,)),), base.launches)
    with pytest.raises(WorkspaceError, match="huge needs a workspace of 72,057,594,037,92") as caught:
        load(program)(values(3))
    assert isinstance(caught.value, MemoryError)


def test_output_that_does_not_fit_is_a_memory_error_and_the_workspace_survives():
    n = Dim.named("n")
    base = two_steps()
    big = argument("big", (n, 2**50))
    program = Program(
        "big", (argument("x", (n, 64)),), (argument("out", (n, 64)), big), (), ("n",),
        (Slot((n * 256,)),), tuple(Launch(e.kernel, e.places, (n,)) for e in base.launches),
    )
    function = load(program)
    for _ in range(3):
        with pytest.raises(MemoryError):
            function(values(1, 64))
    assert len(function._workspaces._maps) == 1


def test_numbers_are_the_same_at_any_thread_count_and_from_threads():
    serial = load(two_steps("parallel_rows", "parallel"), threads=1)
    parallel = load(two_steps("parallel_rows", "parallel"), threads=4)
    inputs = [values(rows, 64) + rows for rows in (1, 2, 3, 100, 1000)]
    expected = [serial(x).tobytes() for x in inputs]
    failures = []

    def work() -> None:
        for _ in range(200):
            for x, wanted in zip(inputs, expected, strict=True):
                if parallel(x).tobytes() != wanted:
                    failures.append(x.shape)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_updates_do_not_run_at_the_same_time():
    size = 100_000
    w = np.zeros(size, np.float32)
    function = load(accumulate_weight(size=size), weights=[w])
    one = np.ones(size, np.float32)
    threads = [threading.Thread(target=lambda: [function(one) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.all(w == 200)


def test_several_threads_compile_at_once():
    results = {}

    def work(number: int) -> None:
        function = load(copy_program((number + 1, 3), float32), cache=False)
        results[number] = np.array_equal(function(values(number + 1, 3)), values(number + 1, 3))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(6), True)


def test_the_entry_outlives_the_function():
    entry = load(two_steps()).entry
    x = values(2, 64)
    gc.collect()
    assert entry(x) is None  # no workspace yet, and nobody who would make one
    entry = load(copy_program((3,), float32)).entry
    gc.collect()
    assert np.array_equal(entry(values(3)), values(3))


def test_functions_that_are_dropped_free_their_code():
    program = two_steps()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    for _ in range(20):
        load(program)(values(2, 64))
    gc.collect()
    before = resident()
    for _ in range(300):
        load(program)(values(2, 64))
    gc.collect()
    assert resident() - before < 16 * 2**20
    assert Path("/proc/self/maps").read_text().count("\n") < 2000


def test_references_of_shared_objects_do_not_leak(double):
    x = values(2, 64)
    double(x)
    counted = [np.dtype(np.float32), None, x]
    before = [sys.getrefcount(item) for item in counted]
    for _ in range(1000):
        double(x)
        double.entry()
    after = [sys.getrefcount(item) for item in counted]
    assert all(abs(b - a) < 50 for a, b in zip(before, after, strict=True))


def test_without_the_fast_entry_everything_takes_the_long_way(double, monkeypatch):
    monkeypatch.setattr("compiler.jit.load.has_fast_entry", lambda: False)
    function = load(two_steps())
    x = values(5, 64)
    assert function.entry(x) is None and np.array_equal(function(x), double(x))
    weight = np.zeros(1000, np.float32)
    assert load(accumulate_weight(), weights=[weight])(weight + 1) == () and np.all(weight == 1)


def test_the_long_way_gives_the_same(double):
    x = values(9, 64)
    plain = double._call_plainly([x], {"batch": 9}, double.workspace_bytes({"batch": 9}))
    assert plain.tobytes() == double(x).tobytes()


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    head = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment}, check=False,
    )


def test_no_executable_memory_is_a_typed_error():
    done = run_python("""
        import ctypes
        from native_programs import two_steps
        from compiler.jit.load import load
        from symgraph.errors import BackendUnavailable
        if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
            print("unsupported")
        else:
            try:
                load(two_steps())
            except BackendUnavailable as error:
                print(error)
    """)
    assert done.returncode == 0, done.stderr
    assert "unsupported" in done.stdout or "PR_SET_MDWE" in done.stdout


def test_a_child_of_a_fork_runs_and_compiles():
    done = run_python("""
        import os, sys, numpy as np
        from native_programs import two_steps, two_steps_result, copy_program
        from compiler.jit.load import load
        from symgraph.types import float32
        f = load(two_steps(mode="parallel"), threads=4)
        x = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32)
        wanted = f(x).tobytes()
        children = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                ok = f(x).tobytes() == wanted and load(copy_program((7,), float32))(x[0, :7]).shape == (7,)
                os._exit(0 if ok else 1)
            children.append(child)
        print([os.waitpid(child, 0)[1] for child in children], f(x).tobytes() == wanted)
    """)
    assert done.stdout.strip() == "[0, 0, 0, 0, 0] True", done.stderr


def test_interpreter_exits_cleanly_with_workers_and_a_running_thread():
    done = run_python("""
        import threading, numpy as np
        from native_programs import two_steps
        from compiler.jit.load import load
        f = load(two_steps(mode="parallel"), threads=4)
        x = np.zeros((2000, 64), np.float32)
        f(x)
        def forever():
            while True:
                f(x)
        threading.Thread(target=forever, daemon=True).start()
        print("end")
    """)
    assert done.returncode == 0 and done.stdout == "end\n" and not done.stderr
