"""The main job from end to end: define, derive, fuse, compile, train, draw, export - and the same eagerly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import symgraph as sg
from symgraph.errors import SymgraphError
from symgraph.train import c_program, digits
from symgraph.train.pictures import draw_all
from symgraph.train.worlds import WORLDS, Compiled, Outcome, Settings, compile_model, train
from symgraph.words import counted, duration, memory

LIKE_STEPS = 50  # steps over which the losses of both worlds must agree
LIKE = 1e-4
ENOUGH_EPOCHS = 10  # with fewer, no accuracy is asked for
ACCURACY = 0.97
# The worlds are compared on one thread each; a child's numpy reads these when it starts.
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what was found."""

    holds: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.holds else 'FAILED'} {self.text}"


def run_demo(folder: Path, settings: Settings, quiet: bool, say: Say) -> bool:
    """Trains, compares, draws, exports, and runs the exported program. Returns whether every check holds.

    Files go to `folder`. Each world trains in a process of its own, so that its memory can be told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = {world: _train_apart(world, folder, settings, quiet) for world in WORLDS}
    eager, static = outcomes["eager"], outcomes["static"]
    compiled = _trained(folder, settings)
    say(table(eager, static))
    say("pictures   " + "  ".join(map(str, draw_all(compiled, folder))))
    checks = [_losses_agree(eager, static), *_accuracies(eager, static, settings)]
    checks += _export(compiled, folder, say)
    say("\n" + "\n".join(map(str, checks)))
    return all(check.holds for check in checks)


def run_world(world: str, folder: Path, settings: Settings, quiet: bool) -> Outcome:
    """Trains in one world, in this process, and writes WORLD.json and WORLD.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome, model = train(world, settings, quiet)
    sg.save(_weights(folder, world), model)
    outcome.write(folder / f"{world}.json")
    return outcome


def _train_apart(world: str, folder: Path, settings: Settings, quiet: bool) -> Outcome:
    numbers = ["--epochs", str(settings.epochs), "--seed", str(settings.seed)]
    command = [sys.executable, "-m", "symgraph", "demo", "--world", world, "--output", str(folder), *numbers]
    command += ["--quiet"] * quiet
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SymgraphError(f"training in the {world} world failed with exit code {done.returncode}")
    return Outcome.read(folder / f"{world}.json")


def _weights(folder: Path, world: str) -> Path:
    return folder / f"{world}.safetensors"


def _trained(folder: Path, settings: Settings) -> Compiled:
    """The compiled functions with the weights that the static world learnt."""
    sg.seed(settings.seed)
    model = digits.model()
    model.load_state_dict(sg.load(_weights(folder, "static")))
    return compile_model(model)


def table(eager: Outcome, static: Outcome) -> str:
    """The two worlds side by side."""
    cache = " (cached)" if static.from_cache else ""
    launches = counted(static.work, "kernel launch", "kernel launches")
    rows = [
        ("", "eager", "compiled"),
        ("test accuracy", f"{eager.accuracy:.2%}", f"{static.accuracy:.2%}"),
        ("time a step", duration(eager.step_seconds), duration(static.step_seconds)),
        ("all steps", duration(eager.training_seconds), duration(static.training_seconds)),
        ("compile time", "none", duration(static.compile_seconds) + cache),
        ("work a step", counted(eager.work, "op call"), launches),
        ("peak memory", peak_memory(eager), peak_memory(static)),
    ]
    lines = [f"{name:<16}{left:>16}{right:>24}" for name, left, right in rows]
    return "\n".join(["", lines[0], "-" * len(lines[0]), *lines[1:], ""])


def peak_memory(outcome: Outcome) -> str:
    return "unknown here" if outcome.peak_bytes is None else memory(outcome.peak_bytes)


def _losses_agree(eager: Outcome, static: Outcome) -> Check:
    a, b = (np.array(outcome.losses[:LIKE_STEPS]) for outcome in (eager, static))
    worst = float(np.max(np.abs(a - b) / np.abs(a)))
    text = f"losses of the first {len(a)} steps agree: largest relative difference {worst:.1e}"
    return Check(worst <= LIKE, text)


def _accuracies(eager: Outcome, static: Outcome, settings: Settings) -> list[Check]:
    if settings.epochs < ENOUGH_EPOCHS:
        return []
    names = {"eager": eager.accuracy, "compiled": static.accuracy}
    return [
        Check(found >= ACCURACY, f"{name} test accuracy {found:.2%}, at least {ACCURACY:.0%} asked for")
        for name, found in names.items()
    ]


def _export(compiled: Compiled, folder: Path, say: Say) -> list[Check]:
    """Writes the binary; checks the shared library and, where there is a C compiler, the C program."""
    images = digits.load().test_images
    wanted = compiled.predict(images)["probabilities"]
    binary = folder / "binary"
    compiled.predict.save(folder / "digits.safetensors")
    artifact = compiled.predict.export(binary, name="digits")
    say("model      " + str(folder / "digits.safetensors"))
    say("binary     " + "  ".join(map(str, artifact.paths.values())))
    loaded = sg.load_library(artifact["shared"])
    loaded.selftest()
    found = loaded(images)
    worst = float(np.max(np.abs(found - wanted)))
    checks = [Check(worst <= 1e-5, f"the shared library agrees with Python: largest difference {worst:.1e}")]
    cc = c_program.compiler()
    if cc is None:
        say("no C compiler here: the C program was not built (cc, gcc, clang and $CC were tried)")
        return checks
    same = c_program.predictions(binary, images, cc) == wanted.argmax(axis=1)
    say("C program  " + str(binary / "digits_main.c"))
    text = f"the C program predicts as Python does: {same.sum()} of {same.size} images"
    return [*checks, Check(bool(same.all()), text)]
