"""One row in one engine and one process: `python -m symgraph.bench.worker ENGINE ROW THREADS FOLDER`.

It prepares the row, writes its answer to FOLDER, says so in a line of JSON, and then answers each line it is
sent: `time SECONDS` with the median of a call, `describe` with bytes and flops (symgraph only). The end of
its input ends it. What libraries print goes to its standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from symgraph.bench.describe import describe
from symgraph.bench.problems import PROBLEMS, Prepared
from symgraph.bench.timing import median, pin

ENGINES = {
    "symgraph": "in_symgraph",
    "PyTorch": "in_torch",
    "torch.compile": "in_torch_compiled",
    "JAX": "in_jax",
    "onnxruntime": "in_onnxruntime",
    "PyTensor": "in_pytensor",
}


def main(engine: str, name: str, threads: int, folder: Path) -> None:
    pin(threads)
    replies = _own_output()
    module = importlib.import_module(f"symgraph.bench.engines.{ENGINES[engine]}")
    start = time.perf_counter()
    prepared: Prepared = module.prepare(name, threads)
    answer = prepared.numbers(prepared.call())
    first = time.perf_counter() - start
    for _ in range(PROBLEMS[name].steps - 1):
        answer += prepared.numbers(prepared.call())
    np.savez(folder / f"{engine}.npz", *answer)
    ready = {"version": prepared.version, "first": first, "peak": _peak()}
    _say(replies, ready | ({"compiling": prepared.compiling} if prepared.compiling else {}))
    for line in sys.stdin:
        _say(replies, _reply(prepared, line.split()))


def _reply(prepared: Prepared, words: Sequence[str]) -> dict[str, Any]:
    if words[0] == "describe":
        return describe(prepared.function, prepared.arrays)
    return {"seconds": median(prepared.call, float(words[1])), "peak": _peak()}


def _own_output() -> TextIO:
    """Standard output for our lines alone: what libraries print there goes to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", buffering=1)


def _say(stream: TextIO, reply: dict[str, Any]) -> None:
    stream.write(json.dumps(reply) + "\n")


def _peak() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _, *words, count, folder = sys.argv
    main(words[0], words[1], int(count), Path(folder))
