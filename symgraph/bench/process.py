"""A worker process and the talk with it; and the Pythons that peers are installed in."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from symgraph.bench.timing import environment
from symgraph.errors import SymgraphError

PATIENCE = 400.0  # seconds for one answer: a peer may compile for more than a minute
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "PyTorch": ("torch",),
    "torch.compile": ("torch",),
    "JAX": ("jax",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "PyTensor": ("pytensor",),
}


FIND = """
import importlib.util, json, sys
print(json.dumps({name: importlib.util.find_spec(name) is not None for name in sys.argv[1:]}))
"""


class WorkerError(SymgraphError):
    """A process ended, or said nothing in time; the message is the last line that it wrote."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one process measures: `python` runs it, `folder` takes its answer and its caches, `settings` are
    variables of its environment."""

    engine: str
    row: str
    threads: int
    python: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """A process of `symgraph.bench.worker`; `ready` is what it said when its row was prepared."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._errors = (task.folder / f"{task.engine}.log").open("a+b")
        words = [task.engine, task.row, str(task.threads), str(task.folder)]
        self._process = subprocess.Popen(
            [task.python, "-m", "symgraph.bench.worker", *words],
            env=_settings(task),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def listen(self) -> dict[str, Any]:
        """The next line that it says. Raises WorkerError."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(PATIENCE):
                    raise WorkerError(f"no answer in {PATIENCE:.0f} s")
                read = os.read(self._process.stdout.fileno(), 1 << 20)
                if not read:
                    raise WorkerError(self._last_words())
                self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._last_words()) from error
        return self.listen()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else f"exit code {code}"


def _settings(task: Task) -> dict[str, str]:
    """The environment: threads, and caches of compiled code in the task's folder, so that cold is cold."""
    made = environment(os.environ, task.threads)
    made["PYTHONPATH"] = str(ROOT)
    made["SYMGRAPH_CACHE_DIR"] = str(task.folder / "symgraph")
    made["TORCHINDUCTOR_CACHE_DIR"] = str(task.folder / "inductor")
    made["PYTENSOR_FLAGS"] = f"base_compiledir={task.folder / 'pytensor'}"
    made["NUMBA_CACHE_DIR"] = str(task.folder / "numba")
    made["NUMBA_NUM_THREADS"] = str(task.threads)
    return {**made, **task.settings}


def find_peers(pythons: Sequence[str]) -> dict[str, str]:
    """Engine -> the first of these Pythons that has what it needs. What is in none is told."""
    found: dict[str, str] = {}
    for python in pythons:
        has = _packages(python)
        for engine, needed in PACKAGES.items():
            if all(has.get(package) for package in needed):
                found.setdefault(engine, python)
    for engine in PACKAGES:
        if pythons and engine not in found:
            print(f"{engine} is left out: not installed in {', '.join(pythons)}", file=sys.stderr)
    return found


def _packages(python: str) -> Mapping[str, bool]:
    names = sorted({package for needed in PACKAGES.values() for package in needed})
    try:
        done = subprocess.run([python, "-c", FIND, *names], check=True, stdout=subprocess.PIPE)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{python} is no Python that runs: {error}", file=sys.stderr)
        return {}
    return json.loads(done.stdout)
