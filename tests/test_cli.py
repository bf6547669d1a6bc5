"""The `symgraph` command: files, output, exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn
from symgraph.cli import COMMANDS, main
from symgraph.train import c_program, digits
from symgraph.train.progress import Progress
from symgraph.train.worlds import Settings, train

SCRIPT = """\
import symgraph as sg
from symgraph import nn

x = sg.input("x", ("batch", 4))
model = nn.Linear(4, 2)
predict = sg.function([x], {"scores": model(x), "best": sg.argmax(model(x), axis=1)}, name="tiny")

def make():
    return sg.function([x], sg.tanh(x))

def broken():
    return {}["absent"]

def misshapen():
    return sg.matmul(x, sg.constant([[1.0, 2.0]]))

if __name__ == "__main__":
    raise SystemExit("run as a program")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """script.py; a saved model, its library and input arrays."""
    made = tmp_path_factory.mktemp("cli")
    (made / "script.py").write_text(SCRIPT)
    sg.seed(0)
    x = sg.input("x", ("batch", 4))
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    predict = sg.function([x], nn.softmax(model(x)), name="flowers")
    predict.save(made / "flowers.safetensors")
    predict.export(made / "build")
    sg.save(made / "weights.safetensors", model)
    values = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.savez(made / "in.npz", x=values)
    np.save(made / "expected.npy", predict(values))
    return made


def fails(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that must fail with an exit code."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("symgraph: ") and "Traceback" not in captured.err
    return captured.err


# --- help and usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"examples:\n  symgraph {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["draw"], ["demo", "--epochs", "0"], ["demo", "--seed", "-1"]]
)
def test_a_wrong_command_line_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: symgraph" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"symgraph {sg.__version__}\n"


# --- run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["flowers.safetensors", "build/libflowers.so"])
def test_run_writes_what_the_function_returns(folder: Path, tmp_path: Path, model: str) -> None:
    out = tmp_path / "out.npz"
    assert main(["run", str(folder / model), str(folder / "in.npz"), "-o", str(out)]) == 0
    with np.load(out) as written:
        assert written.files == ["out"]
        np.testing.assert_allclose(written["out"], np.load(folder / "expected.npy"), rtol=1e-5)


def test_a_library_runs_where_llvmlite_is_not_installed(folder: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['llvmlite'] = None; from symgraph.cli import main; sys.exit(main())"
    library, arrays, out = folder / "build/libflowers.so", folder / "in.npz", tmp_path / "out.npz"
    for arguments in (["inspect", library], ["run", library, arrays, "-o", out]):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert out.exists()


def test_run_names_outputs_as_the_script_does(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert main(["run", f"{folder / 'script.py'}:predict", str(folder / "in.npz"), "-o", str(out)]) == 0
    with np.load(out) as written:
        assert written.files == ["scores", "best"]
        np.testing.assert_array_equal(written["best"], written["scores"].argmax(axis=1))


def test_run_says_which_input_is_wrong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, bad, out = str(folder / "flowers.safetensors"), tmp_path / "bad.npz", tmp_path / "out.npz"
    np.savez(bad, y=np.zeros((5, 4), np.float32))
    assert "expected arrays named ['x'], got ['y']" in fails(
        ["run", model, str(bad), "-o", str(out)], 1, capsys
    )
    np.savez(bad, x=np.zeros((5, 3), np.float32))
    message = fails(["run", model, str(bad), "-o", str(out)], 1, capsys)
    assert "input 'x' expected f32[batch, 4], got f32[5, 3]" in message
    bad.write_bytes(b"no archive")
    assert "not an .npz file" in fails(["run", model, str(bad), "-o", str(out)], 1, capsys)
    assert "there is no such file" in fails(["run", model, "absent.npz", "-o", str(out)], 1, capsys)
    assert not out.exists()


# --- build ------------------------------------------------------------------------------------------


def test_build_writes_the_kinds_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "build",
        str(folder / "flowers.safetensors"),
        "-o",
        str(tmp_path / "out"),
        "--name",
        "iris-1",
    ]
    assert main([*arguments, "--kind", "object,header"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["iris_1.h", "iris_1.o"]
    assert "iris_1.h" in capsys.readouterr().out
    assert main(arguments) == 0
    names = ["iris_1.h", "iris_1.o", "libiris_1.a", "libiris_1.so"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    sg.load_library(tmp_path / "out" / "libiris_1.so").selftest()


def test_build_refuses(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path)]
    model = str(folder / "flowers.safetensors")
    assert "unknown kind 'exotic'" in fails(["build", model, *out, "--kind", "exotic"], 1, capsys)
    assert "target 'moon'" in fails(["build", model, *out, "--target", "moon"], 1, capsys)
    assert "its graph is not in it" in fails(["build", str(folder / "build/libflowers.so"), *out], 1, capsys)
    assert "expected what sg.function makes" in fails(
        ["build", str(folder / "weights.safetensors"), *out], 1, capsys
    )
    assert list(tmp_path.iterdir()) == []


# --- what MODEL may be ------------------------------------------------------------------------------


def test_models_that_cannot_be_opened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, out = folder / "script.py", ["-o", str(tmp_path / "p.svg")]
    assert "say which of its names" in fails(["draw", str(script), *out], 2, capsys)
    assert "has no 'absent'; it has " in fails(["draw", f"{script}:absent", *out], 1, capsys)
    assert "there is no such file" in fails(["draw", "absent.safetensors", *out], 1, capsys)
    message = fails(["draw", f"{script}:broken", *out], 1, capsys)
    assert "raised KeyError: 'absent'" in message and 'script.py:12      return {}["absent"]' in message
    assert "script.py:15 in misshapen" in fails(["draw", f"{script}:misshapen", *out], 1, capsys)
    (tmp_path / "text.safetensors").write_text("hello, this is not a model")
    assert "text.safetensors" in fails(["inspect", str(tmp_path / "text.safetensors")], 1, capsys)


# --- draw -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["predict", "make", "model", "x"])
def test_draw(folder: Path, tmp_path: Path, name: str) -> None:
    picture = tmp_path / "picture.svg"
    assert main(["draw", f"{folder / 'script.py'}:{name}", "-o", str(picture)]) == 0
    assert picture.read_text().startswith("<svg")


def test_draw_a_stage(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, picture = str(folder / "flowers.safetensors"), str(tmp_path / "picture.html")
    assert main(["draw", model, "-o", picture, "--stage", "written"]) == 0
    assert "there is no stage 'dream'; the stages are written" in fails(
        ["draw", model, "-o", picture, "--stage", "dream"], 2, capsys
    )
    assert "ends in none of" in fails(["draw", model, "-o", str(tmp_path / "p.bmp")], 1, capsys)


# --- inspect ----------------------------------------------------------------------------------------


def test_inspect_a_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "flowers.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "function flowers"
    assert "input     x: f32[batch, 4]" in lines
    assert "parameter 0.weight: f32[8, 4]" in lines
    assert "          67 numbers to learn" in lines
    assert any(line.startswith("nodes     ") and "2 matmul" in line for line in lines)
    assert any(" kernels, arena " in line for line in lines)


def test_inspect_a_stage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "flowers.safetensors"), "--stage", "kernels"]) == 0
    assert capsys.readouterr().out.startswith("kernel k0(")
    fails(["inspect", str(folder / "weights.safetensors"), "--stage", "kernels"], 2, capsys)


def test_inspect_a_library(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "build/libflowers.so")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("library flowers, interface 1")
    assert {"input     x: f32[batch, 4]", "output    out: f32[batch, 3]"} <= set(lines)


def test_inspect_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "weights.safetensors")]) == 0
    assert "array     0.weight: float32[8, 4]" in capsys.readouterr().out.splitlines()


# --- as a program -----------------------------------------------------------------------------------


def test_a_reader_that_stops_reading_is_no_error(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "symgraph",
        "inspect",
        str(folder / "flowers.safetensors"),
        "--stage",
        "llvm",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode in (0, 1)


# --- demo -------------------------------------------------------------------------------------------


def test_demo(tmp_path: Path) -> None:
    """The whole job, once: what it prints, the figures it writes, the pictures and the binary."""
    made = tmp_path / "out put"
    command = [sys.executable, "-m", "symgraph", "demo", "--output", str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert done.stdout.count("ok     ") == (5 if c_program.compiler() else 4)
    assert done.stderr.count("compiled: epoch ") == Settings().epochs  # a log gets one line an epoch
    check_figures(made)
    check_files(made)


def check_figures(made: Path) -> None:
    eager, static = (json.loads((made / f"{world}.json").read_text()) for world in ("eager", "static"))
    first = [np.array(world["losses"][:50]) for world in (eager, static)]
    np.testing.assert_allclose(first[1], first[0], rtol=1e-4)
    assert min(eager["accuracy"], static["accuracy"]) >= 0.97
    assert static["work"] < eager["work"] / 4
    assert static["peak_bytes"] < 200 * 2**20


def check_files(made: Path) -> None:
    for picture in ("forward.svg", "forward_kernels.svg", "training_step.svg", "one_layer.svg"):
        assert (made / picture).read_text().startswith("<svg")
    binary = {path.name for path in (made / "binary").iterdir()}
    assert {"digits.o", "digits.h", "libdigits.a", "libdigits.so"} <= binary
    library = sg.load_library(made / "binary" / "libdigits.so")
    data = digits.load()
    found = np.asarray(library(data.test_images)).argmax(axis=1)
    assert np.mean(found == data.test_labels) >= 0.97


def test_training_repeats_bit_for_bit() -> None:
    runs = [train("static", Settings(epochs=1, seed=7), quiet=True)[0].losses for _ in range(2)]
    assert runs[0] == runs[1]
    assert train("static", Settings(epochs=1, seed=8), quiet=True)[0].losses != runs[0]


def test_demo_fails_in_a_folder_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    message = fails(["demo", "--output", str(tmp_path / "file" / "below"), "--quiet"], 1, capsys)
    assert "file" in message


def test_without_scikit_learn_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = ["demo", "--world", "eager", "--output", str(tmp_path), "--quiet"]
    assert "symgraph[demo]" in fails(arguments, 1, capsys)


# --- progress ---------------------------------------------------------------------------------------


def test_a_log_gets_a_line_an_epoch() -> None:
    stream = io.StringIO()
    with Progress("run", epochs=2, steps=3, stream=stream) as progress:
        for loss in (1.0, 2.0, 3.0, 1.0, 1.0, 1.0):
            progress.step(loss)
    lines = stream.getvalue().splitlines()
    assert [line.rsplit(",", 1)[0] for line in lines] == [
        "run: epoch 1/2, loss 2.0000",
        "run: epoch 2/2, loss 1.0000",
    ]


def test_a_terminal_gets_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress("run", epochs=2, steps=3, stream=stream) as progress:
        for _ in range(6):
            progress.step(1.0)
    text = stream.getvalue()
    assert "run: 100%" in text and "epoch 2/2, loss 1.0000" in text
    assert text.count("\n") == 1


def test_the_command_starts_without_the_compiler() -> None:
    """`symgraph --help` must not load LLVM."""
    code = "import sys, symgraph.cli; print('llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "False\n", done.stderr
