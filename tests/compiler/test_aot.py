"""Exported models: files, the C interface, names, damage, other machines."""

from __future__ import annotations

import ctypes
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from native_programs import (
    BATCH,
    accumulate_weight,
    argument,
    axes,
    copy_program,
    input_place,
    nest,
    output_place,
    scaled_by_weight,
    sum_and_difference,
    two_steps,
    two_steps_result,
)

import symgraph as sg
from compiler.abi import MESSAGES, Code, c_identifier, parameter_names, unique_identifiers
from compiler.aot.elf import read_elf
from compiler.aot.export import SelftestCase, export
from compiler.aot.header import comment
from compiler.aot.library import load_library
from compiler.aot.relocate import patch_aarch64, patch_x86_64
from compiler.llvm.entry_cpu import portable, required_features
from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, Kernel, Store, constant
from compiler.program import Launch, Place, Program, Slot
from symgraph.dimension import Dim
from symgraph.errors import ExportError, InputError
from symgraph.types import float32, float64

CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler")
WEIGHTS = [np.arange(1, 6, dtype=np.float32)]


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def case(batch: int = 2) -> SelftestCase:
    x = values(batch, 64)
    return SelftestCase([x], [two_steps_result(x).astype(np.float32)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export(two_steps(), [], tmp_path_factory.mktemp("model"), "digits", selftest_case=case())


def test_files_and_symbols(model):
    assert {path.name for path in model["object"].parent.iterdir()} == {
        "digits.o", "digits.h", "libdigits.a", "libdigits.so"
    }
    names = [f"digits_{entry}" for entry in ("info", "run", "selftest", "strerror", "workspace_bytes")]
    for kind in ("object", "shared"):
        elf = read_elf(model[kind].read_bytes())
        assert [symbol.name for symbol in elf.exported] == names and not elf.undefined


@pytest.mark.parametrize("batch", [1, 3, 257])
def test_library_computes_what_the_program_does(model, batch):
    library = load_library(model["shared"])
    x = values(batch, 64)
    np.testing.assert_allclose(library(x), two_steps_result(x), rtol=1e-5, atol=1e-5)
    assert library.workspace_bytes({"batch": batch}) == 256 * batch
    library.selftest()


def test_library_says_what_it_is(model):
    library = load_library(model["shared"])
    assert library.info.sha256.decode() == model.sha256 and library.info.abi == 1
    assert library.info.target.decode() == Target.host().triple
    (x,), (out,) = library.signature.inputs, library.signature.outputs
    assert (x.name, str(x.type), out.name, str(out.type)) == ("x", "f32[batch, 64]", "out", "f32[batch, 64]")
    assert library.signature.dims == ("batch",)
    assert library.info.inputs[0].shape[0] == -1 and library.info.inputs[0].shape[1] == 64


def test_library_refuses_as_compiled_functions_do(model):
    library = load_library(model["shared"])
    with pytest.raises(InputError, match=r"digits: input 'x' expected f32\[batch, 64\], got f64\[2, 64\]"):
        library(np.zeros((2, 64)))
    with pytest.raises(InputError, match="got 2"):
        library(values(1, 64), values(1, 64))


def test_library_from_several_threads(model):
    library = load_library(model["shared"])
    x = values(100, 64)
    expected, failures = library(x), []

    def work() -> None:
        failures.extend(1 for _ in range(200) if not np.array_equal(library(x), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_several_outputs_and_weights(tmp_path):
    both = load_library(export(sum_and_difference(), [], tmp_path)["shared"])
    x, y = values(4, 3), values(4, 3) * 2
    plus, minus = both(x, y)
    assert np.array_equal(plus, x + y) and np.array_equal(minus, x - y)
    scaled = load_library(export(scaled_by_weight(), WEIGHTS, tmp_path)["shared"])
    x = values(7, 5)
    assert np.array_equal(scaled(x), x * WEIGHTS[0])
    scaled.selftest()


def test_a_new_file_of_the_same_name_is_loaded_anew(tmp_path):
    x = np.ones((1, 5), np.float32)
    first = load_library(export(scaled_by_weight(), WEIGHTS, tmp_path)["shared"])
    second = load_library(export(scaled_by_weight(), [WEIGHTS[0] * 10], tmp_path)["shared"])
    assert np.array_equal(second(x)[0], WEIGHTS[0] * 10) and np.array_equal(first(x)[0], WEIGHTS[0])


def test_the_same_program_gives_the_same_bytes(tmp_path):
    files = [export(two_steps(), [], tmp_path / n, "m", selftest_case=case()).paths for n in ("a", "b")]
    for kind, path in files[0].items():
        assert path.read_bytes() == files[1][kind].read_bytes()


def test_selftest_finds_wrong_numbers(tmp_path):
    wrong = case()
    wrong.outputs[0][1, 3] += 0.01
    library = load_library(export(two_steps(), [], tmp_path, selftest_case=wrong)["shared"])
    with pytest.raises(ExportError, match="self-test gave wrong numbers"):
        library.selftest()


@pytest.mark.parametrize("batch", [1, 2000])
def test_selftest_with_outputs_on_the_stack_and_in_the_workspace(tmp_path, batch):
    artifact = export(two_steps(), [], tmp_path, "m", selftest_case=case(batch))
    library = load_library(artifact["shared"])
    library.selftest()
    wanted = batch * 256 + (batch * 256 if batch * 256 > 65536 else 0)
    assert f"#define M_SELFTEST_WORKSPACE_BYTES ((size_t){wanted}u)" in artifact["header"].read_text()
    workspace = np.zeros(wanted + 64, np.uint8)
    start = workspace.ctypes.data + -workspace.ctypes.data % 64
    selftest = library._library.m_selftest
    selftest.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    assert selftest(start, wanted) == 0 and selftest(start, wanted - 1) == -3
    assert selftest(None, wanted) == -1


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_selftest_compares_special_values(tmp_path, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1e-30, 3.0], dtype)
    program = copy_program((6,), dtype)
    right = export(program, [], tmp_path / "right", selftest_case=SelftestCase([x], [x]))
    load_library(right["shared"]).selftest()
    for i, other in ((0, 1.0), (1, -np.inf), (1, 1e30), (2, np.nan), (5, 3.001)):
        y = x.copy()
        y[i] = other
        folder = tmp_path / f"wrong{i}{other}"
        library = load_library(export(program, [], folder, selftest_case=SelftestCase([x], [y]))["shared"])
        with pytest.raises(ExportError):
            library.selftest()


def test_nothing_may_stand_at_null(tmp_path):
    """An output of n - 1 rows has no memory at n = 1, nor has one without columns at any n."""
    x = sg.input("x", ("n", 3))
    f = sg.function([x], [x[1:] * 2.0, sg.sum(x), x[:, :0] * 2.0], name="rest")
    run = ctypes.CDLL(str(f.export(tmp_path)["shared"])).rest_run
    pointer = ctypes.c_void_p
    run.argtypes = [pointer, pointer, pointer, pointer, ctypes.c_int64, pointer, ctypes.c_size_t]
    rows, total = np.arange(6, dtype=np.float32), np.zeros(1, np.float32)
    assert run(rows.ctypes.data, None, total.ctypes.data, None, 1, None, 0) == Code.OK
    assert total == 3.0
    assert run(rows.ctypes.data, None, total.ctypes.data, None, 2, None, 0) == Code.NULL_POINTER
    out = np.zeros(3, np.float32)
    assert run(rows.ctypes.data, out.ctypes.data, total.ctypes.data, None, 2, None, 0) == Code.OK
    np.testing.assert_array_equal(out, [6.0, 8.0, 10.0])
    assert run(None, None, total.ctypes.data, None, 1, None, 0) == Code.NULL_POINTER


def test_codes(model):
    library = load_library(model["shared"])._library
    run = library.digits_run
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_size_t]
    memory = np.zeros(4096, np.float32)
    x = memory.ctypes.data + -memory.ctypes.data % 64
    out, workspace = x + 1024, x + 2048
    assert run(x, out, 2, workspace, 512) == Code.OK
    assert run(None, out, 2, workspace, 512) == run(x, None, 2, workspace, 512) == Code.NULL_POINTER
    assert run(x, out, 2, None, 512) == Code.NULL_POINTER
    assert run(x + 1, out, 2, workspace, 512) == run(x, out + 2, 2, workspace, 512) == Code.MISALIGNED
    assert run(x, out, 2, workspace + 32, 512) == Code.MISALIGNED
    assert run(x, out, 2, workspace, 511) == Code.WORKSPACE_TOO_SMALL
    for dim in (0, -1, -(2**63), 2**63 - 1, 2**60):
        assert run(x, out, dim, workspace, 2**64 - 1) == Code.DIMENSION_OUT_OF_RANGE
    library.digits_strerror.restype = ctypes.c_char_p
    for code, message in MESSAGES.items():
        assert library.digits_strerror(int(code)).decode() == message
    assert library.digits_strerror(77) == library.digits_strerror(-99) == b"unknown code"


def test_states_are_not_exported(tmp_path):
    with pytest.raises(ExportError, match="accumulate_weight updates its state"):
        export(accumulate_weight(), [np.zeros(1000, np.float32)], tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_calls_of_memset_or_memcpy(tmp_path):
    """Loops that clear and copy large arrays are the ones LLVM would replace."""
    shape = (BATCH, 4096)
    out = Buffer("out", float32, shape)
    clear = Kernel("clear", (out,), ("batch",), nest(shape, Store(out, axes(shape), constant(0.0, float32))))
    base = copy_program(shape, float32, ["batch"])
    other = argument("zero", shape)
    program = Program(
        "clear", base.inputs, (*base.outputs, other), (), base.dims, (),
        (*base.launches, Launch(clear, (output_place(1),), (BATCH,))),
    )
    for target in (Target.host(), Target("x86_64-unknown-linux-gnu", "x86-64")):
        artifact = export(program, [], tmp_path, target=target)
        assert not read_elf(artifact["object"].read_bytes()).undefined
    x = values(3, 4096)
    same, zero = load_library(artifact["shared"])(x)
    assert np.array_equal(same, x) and not zero.any()


HOSTILE = [
    '"]; evil [label="x', "a\nb", "a\0b", "\N{SNOWMAN}", "x" * 10_000, "int", "*/ int x; /*",
    'x");system("id', "a.b", "a_b", "1st", "", "-o", "??/", "\\", "class", "digits_run", "workspace", "NULL",
    "\udc80", "DIGITS_ABI",
]


def hostile_program() -> Program:
    x = [argument(name, (BATCH,)) for name in HOSTILE]
    out = [argument(name, (BATCH,)) for name in HOSTILE]
    kernel = copy_program((BATCH,), float32, ["batch"]).launches[0].kernel
    launches = tuple(Launch(kernel, (input_place(i), output_place(i)), (BATCH,)) for i in range(len(x)))
    return Program("*/ #error \n", tuple(x), tuple(out), (), ("batch",), (), launches)


@needs_cc
@pytest.mark.parametrize("language", ["c99", "c++98", "c++20"])
def test_header_compiles_cleanly_whatever_the_names(tmp_path, language):
    artifact = export(hostile_program(), [], tmp_path, "digits")
    assert artifact["header"].read_bytes().isascii()
    source = tmp_path / "use.c"
    source.write_text('#include "digits.h"\n#include "digits.h"\nint use(void) { return DIGITS_ABI; }\n')
    flags = ["-x", "c++" if "++" in language else "c", f"-std={language}", "-pedantic", "-Wall", "-Werror"]
    command = [CC, *flags, "-Wextra", "-c", source, "-o", tmp_path / "use.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_library_keeps_hostile_names(tmp_path):
    library = load_library(export(hostile_program(), [], tmp_path, "digits")["shared"])
    arrays = [values(3) + i for i in range(len(HOSTILE))]
    for given, result in zip(arrays, library(*arrays), strict=True):
        assert np.array_equal(given, result)
    assert library.signature.inputs[6].name == "*/ int x; /*"


HARNESS = """
#include "digits.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    const digits_info_t *info = digits_info();
    if (info->abi != DIGITS_ABI || info->struct_size != sizeof *info || info->input_count != 1) return 1;
    if (strcmp(info->inputs[0].type, "f32[batch, 64]")) return 2;
    size_t needed = digits_workspace_bytes(3);
    void *workspace = aligned_alloc(DIGITS_WORKSPACE_ALIGN, needed);
    float *x = malloc(3 * 64 * sizeof *x), *out = malloc(3 * 64 * sizeof *out);
    for (int i = 0; i < 3 * 64; i++) x[i] = (float)i;
    for (int times = 0; times < 1000; times++)
        if (digits_run(x, out, 3, workspace, needed)) return 3;
    for (int i = 0; i < 3 * 64; i++) if (fabsf(out[i] - (6.0f * i - 1.0f)) > 1e-3f) return 4;
    if (digits_run(x, out, 3, workspace, needed - 1) != DIGITS_WORKSPACE_TOO_SMALL) return 5;
    if (digits_selftest(workspace, needed)) return 6;
    puts(digits_strerror(DIGITS_NULL_POINTER));
    free(x); free(out); free(workspace);
    return 0;
}
"""


@needs_cc
@pytest.mark.parametrize("kind", ["object", "static", "shared", "sanitized"])
def test_c_program(model, tmp_path, kind):
    source, program = tmp_path / "main.c", tmp_path / "main"
    source.write_text(HARNESS)
    folder = model["header"].parent
    files = {"object": [model["object"]], "static": [model["static"]], "sanitized": [model["static"]]}
    link = files.get(kind, [f"-L{folder}", "-ldigits", f"-Wl,-rpath,{folder}"])
    extra = ["-fsanitize=address,undefined"] if kind == "sanitized" else []
    command = [CC, "-std=c11", "-Wall", "-Werror", *extra, f"-I{folder}", source, "-o", program, *link]
    done = subprocess.run(command, capture_output=True, text=True)
    if kind == "sanitized" and done.returncode and "asan" in done.stderr:
        pytest.skip("no sanitizer library")
    assert done.returncode == 0, done.stderr
    done = subprocess.run([program], capture_output=True, text=True, env={})
    assert (done.returncode, done.stdout) == (0, "an argument is a null pointer\n"), done.stderr


@needs_cc
def test_two_models_link_into_one_program(tmp_path):
    for name in ("one", "two"):
        export(two_steps(), [], tmp_path, name)
    source = tmp_path / "main.c"
    source.write_text(
        '#include "one.h"\n#include "two.h"\n'
        "int main(void) { return one_info()->abi - two_info()->abi; }\n"
    )
    libraries = [tmp_path / "libone.a", tmp_path / "libtwo.a"]
    command = [CC, f"-I{tmp_path}", source, *libraries, "-o", tmp_path / "main"]
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_static_model_has_its_size_in_the_header(tmp_path):
    base = copy_program((5,), float32)
    program = Program("fixed", base.inputs, base.outputs, (), (), (Slot((100,)), Slot((1,))), base.launches)
    text = export(program, [], tmp_path)["header"].read_text()
    assert "#define FIXED_WORKSPACE_BYTES ((size_t)192u)" in text
    assert "size_t fixed_workspace_bytes(void);" in text


@pytest.mark.parametrize("name", ["a b", 'quo"te', "new\nline", "-rf", "../up", "$(id)", "a;b"])
def test_names_of_models_stay_in_the_directory(tmp_path, name):
    folder = tmp_path / "out put;\n'x'"
    artifact = export(copy_program((2,), float32), [], folder, name)
    assert all(path.parent == folder for path in artifact.paths.values()) and len(list(folder.iterdir())) == 4
    assert np.array_equal(load_library(artifact["shared"])(np.ones(2, np.float32)), np.ones(2, np.float32))
    assert list(tmp_path.iterdir()) == [folder]


def test_what_cannot_be_written(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    for directory in (blocker, blocker / "below", "/proc/self/nothing"):
        with pytest.raises(ExportError, match="cannot write"):
            export(copy_program((2,), float32), [], directory)
    with pytest.raises(ExportError, match="unknown kind 'dll'"):
        export(copy_program((2,), float32), [], tmp_path, kinds=["dll"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = export(copy_program((2,), float32), [], tmp_path / "m")
    before = {kind: path.read_bytes() for kind, path in old.paths.items()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ExportError, match="File too large"):
            export(copy_program((3,), float32), [], tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {kind: path.read_bytes() for kind, path in old.paths.items()} == before
    assert len(list((tmp_path / "m").iterdir())) == 4


def test_files_that_are_no_libraries(tmp_path, model):
    with pytest.raises(ExportError, match="cannot read"):
        load_library(tmp_path / "missing.so")
    whole = model["shared"].read_bytes()
    path = tmp_path / "damaged.so"
    for data in (b"", b"text", whole[:100], whole[:-50], model["object"].read_bytes()[:64]):
        path.write_bytes(data)
        with pytest.raises(ExportError, match=r"damaged\.so"):
            load_library(path)
    with pytest.raises(ExportError, match="expected model 'other', found digits"):
        load_library(model["shared"], "other")


@pytest.mark.parametrize(
    ("triple", "cpu"),
    [
        ("x86_64-unknown-linux-gnu", "x86-64"), ("x86_64-unknown-linux-gnu", "x86-64-v3"),
        ("aarch64-unknown-linux-gnu", "generic"), ("aarch64-unknown-linux-gnu", "neoverse-v1"),
    ],
)
def test_other_targets_of_elf(tmp_path, triple, cpu):
    artifact = export(scaled_by_weight(), WEIGHTS, tmp_path, "m", target=Target(triple, cpu))
    elf = read_elf(artifact["shared"].read_bytes())
    assert len(elf.exported) == 5 and elf.machine == (62 if "x86" in triple else 183)
    if "x86" in triple and Target.host().is_x86:
        load_library(artifact["shared"]).selftest()


@pytest.mark.parametrize(
    ("kind", "word", "at", "target", "patched"),
    [
        (283, 0x94000000, 0x1000, 0x1008, 0x94000002),  # bl
        (282, 0x14000000, 0x1008, 0x1000, 0x17FFFFFE),  # b, backwards
        (280, 0x54000000, 0x1000, 0x1008, 0x54000040),  # b.eq
        (279, 0x36000000, 0x1000, 0x1008, 0x36000040),  # tbz w0, #0
        (275, 0x90000000, 0x1FFC, 0x2004, 0xB0000000),  # adrp x0, the next page
        (274, 0x10000000, 0x1000, 0x1005, 0x30000020),  # adr x0
        (277, 0x91000000, 0x1000, 0x2010, 0x91004000),  # add x0, x0, #0x10
        (299, 0x3DC00000, 0x1000, 0x2020, 0x3DC00800),  # ldr q0, [x0, #32]
        (286, 0xF9400000, 0x1000, 0x2008, 0xF9400400),  # ldr x0, [x0, #8]
        (261, 0, 0x1000, 0x0FF0, 0xFFFFFFF0),  # a word relative to its place
    ],
)
def test_relocations_of_aarch64(kind, word, at, target, patched):
    image = bytearray(word.to_bytes(4, "little"))
    patch_aarch64(kind)(image, 0, target, at)
    assert int.from_bytes(image, "little") == patched


def test_relocations_that_do_not_fit():
    for kind, target in ((283, 1 << 28), (280, 1 << 21), (275, 1 << 33)):
        with pytest.raises(ExportError):
            patch_aarch64(kind)(bytearray(4), 0, target, 0)
    with pytest.raises(ExportError, match="relocation 9 of x86-64"):
        patch_x86_64(9)
    with pytest.raises(ExportError, match="2 GiB"):
        patch_x86_64(2)(bytearray(4), 0, 1 << 32, 0)


@pytest.mark.parametrize(
    "triple", ["wasm32-unknown-unknown", "arm64-apple-macosx11", "x86_64-pc-windows-msvc"]
)
def test_other_formats_are_objects_only(tmp_path, triple):
    export(two_steps(), [], tmp_path, kinds=["object", "header"], target=Target(triple, ""))
    with pytest.raises(ExportError, match="64-bit ELF targets only"):
        export(two_steps(), [], tmp_path, kinds=["shared"], target=Target(triple, ""))


@pytest.mark.skipif(not Target.host().is_x86, reason="asks an x86 CPU")
def test_a_cpu_that_lacks_a_feature_is_told(tmp_path):
    flags = Path("/proc/cpuinfo").read_text().split()
    missing = [f for f in ("avx512_fp16", "avx512_vp2intersect", "xop", "tbm") if f not in flags]
    if not missing:
        pytest.skip("this CPU has everything")
    target = Target("x86_64-unknown-linux-gnu", "x86-64", f"+{missing[0].replace('_', '')}")
    library = load_library(export(copy_program((2,), float32), [], tmp_path, target=target)["shared"])
    with pytest.raises(InputError, match="CPU lacks a feature"):
        library(np.zeros(2, np.float32))
    with pytest.raises(ExportError, match="CPU lacks a feature"):
        library.selftest()


def test_native_code_asks_for_no_more_than_it_gains_from():
    target = portable(replace(Target.host(), features="+avx,+avx2,+avx512f,+avx512bf16,+sse4a,-xop"))
    if target.is_x86:
        assert target.features == "+avx,+avx2,+avx512f,-avx512bf16,-sse4a,-xop"
        assert "avx512bf16" not in required_features(target)


def test_identifiers():
    assert [c_identifier(n) for n in ("a.b", "int", "9", "", "é", "__x__")] == [
        "a_b", "int_", "n9", "unnamed", "unnamed", "x"
    ]
    assert unique_identifiers(["a.b", "a_b", "a b"], ["a_b_2"]) == ("a_b", "a_b_3", "a_b_4")
    names = parameter_names(["X", "NAN", "workspace"], ["x"], ["n"])
    assert names == ("X", "NAN_array", "workspace_2", "x", "n")
    assert all(len(c_identifier(n * 100)) <= 63 for n in ("long", "x.y"))
    assert c_identifier("x" * 100) != c_identifier("x" * 101)


def test_comments_cannot_be_left():
    for name in HOSTILE:
        text = comment(name)
        assert text.isascii() and not any(mark in text for mark in ("*/", "/*", "\n", "??"))


def test_arena_of_negative_size_is_out_of_range(tmp_path):
    n = Dim.named("n")
    base = copy_program((n,), float32, ["n"])
    program = Program("window", base.inputs, base.outputs, (), ("n",), (Slot((n * 4 - 12,)),), base.launches)
    library = load_library(export(program, [], tmp_path)["shared"])
    assert library.workspace_bytes({"n": 3}) == 0 and library.workspace_bytes({"n": 2}) == 2**64 - 1
    with pytest.raises(InputError, match="so large that sizes overflow"):
        library(values(2))


def test_loading_a_library_compiles_nothing(model):
    code = (
        "import sys, types\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "symgraph = types.ModuleType('symgraph'); symgraph.__path__ = [sys.argv[1] + '/symgraph']\n"
        "sys.modules['symgraph'] = symgraph\n"
        "import numpy as np\n"
        "from compiler.aot.library import load_library\n"
        "print(load_library(sys.argv[2])(np.ones((1, 64), np.float32))[0, 0], 'llvmlite' in sys.modules)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code, root, model["shared"]], capture_output=True, text=True)
    assert done.stdout == "5.0 False\n", done.stderr


def test_embedded_arena(tmp_path):
    """Places of every kind in one program, at an alignment that only the arena gives."""
    base = two_steps()
    slots = (Slot((BATCH * 256,)), Slot((64,)))
    launches = tuple(
        replace(e, places=tuple(Place("arena", 0) if p.kind == "arena" else p for p in e.places))
        for e in base.launches
    )
    program = Program("arena", base.inputs, base.outputs, (), base.dims, slots, launches)
    library = load_library(export(program, [], tmp_path)["shared"])
    x = values(5, 64)
    np.testing.assert_allclose(library(x), two_steps_result(x), rtol=1e-5, atol=1e-5)
    assert library.workspace_bytes({"batch": 5}) == 64 + 5 * 256
