"""What each mechanism brings: `python -m symgraph.bench.ablation` compiles rows with and without it.

Fusion and every optional pass are switched off one at a time; what is compared is compiled in one process and
timed in turns, after its results have been compared. The native entry and the cache are switched by their
environment variables, in processes of their own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.api import function_of
from symgraph.bench.engines.in_symgraph import Graph, graph_of
from symgraph.bench.page import put_between
from symgraph.bench.problems import PROBLEMS
from symgraph.bench.process import Task, Worker
from symgraph.bench.race import difference
from symgraph.bench.text import duration, number, table
from symgraph.bench.timing import cores, medians, pin
from symgraph.errors import SymgraphError
from symgraph.io.atomic import replace_file

WHOLE = "all of it"
TURNS = 3  # of processes that are compared


@dataclass(frozen=True, slots=True)
class Variant:
    """A row compiled in one way. `seconds` is the median of a call."""

    name: str
    function: sg.Function
    arrays: tuple[np.ndarray, ...]

    def code(self) -> str:
        """Its kernels, and which of them run."""
        return self.function.text("kernels") + str([line.kernel for line in self.function.report().launches])

    def answer(self) -> list[np.ndarray]:
        result = self.function(*self.arrays)
        return [np.asarray(a) for a in (result if isinstance(result, list) else [result])]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m symgraph.bench.ablation", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing for each variant")
    parser.add_argument("--write", type=Path, metavar="FILE", help="renew the tables of this page too")
    arguments = parser.parse_args(words)
    text = "\n\n".join(sections(arguments.rows, arguments.seconds))
    print(text)
    if arguments.write:
        renewed = put_between(arguments.write.read_text(), text, mark="ablation")
        replace_file(arguments.write, [renewed.encode()])
    return 0


def sections(rows: Sequence[str], seconds: float) -> Iterator[str]:
    """Processes are compared first, as they choose their cores themselves."""
    yield _section("Between processes", _between_processes(rows, seconds))
    pin()
    for row in rows:
        print(f"measuring {row}", file=sys.stderr, flush=True)
        try:
            yield _section(f"{row}: {PROBLEMS[row].title}", _within_process(row, seconds))
        except (SymgraphError, AttributeError) as error:
            yield f"### {row}\n\ncannot be compiled: {error}"


def _section(title: str, content: str) -> str:
    return f"### {title}\n\n{content}"


def _within_process(row: str, seconds: float) -> str:
    """One table: every variant whose code differs from the whole."""
    whole = _variant(row, WHOLE)
    names = ("fusion", *_optional(whole.function))
    others = [v for v in (_variant(row, name) for name in names) if v.code() != whole.code()]
    for other in others:
        trouble = difference(_variant(row, WHOLE).answer(), other.answer(), PROBLEMS[row].tolerance)
        if trouble:
            raise SymgraphError(f"without {other.name}: {trouble}")
    variants = [whole, *others]
    found = medians({v.name: lambda v=v: v.function(*v.arrays) for v in variants}, seconds)
    return table(
        ["without", "a call", "times slower", "launches", "arena"],
        ([v.name if v is not whole else "(nothing)", duration(found[v.name]),
          number(found[v.name] / found[WHOLE], "x"), str(len(v.function.report().launches)),
          f"{v.function.peak_bytes(*v.arrays) / 2**20:.3g} MiB"] for v in variants),
    )  # fmt: skip


def _optional(function: sg.Function) -> Iterator[str]:
    """Passes that a function can do without."""
    for name in function.stages[1:-4]:
        try:
            function_of(sg.Graph(inputs=(), outputs=(), updates=()), (), skip=[name])
        except ValueError:
            continue
        yield name


def _variant(row: str, without: str) -> Variant:
    """With states of its own. `without` names a pass, or "fusion"."""
    graph = graph_of(row)
    made = sg.function(graph.inputs, graph.outputs, graph.updates, **_options(graph))
    if without != WHOLE:
        skip = () if without == "fusion" else (without,)
        made = function_of(
            made.graph, graph.outputs, fuse=without != "fusion", skip=skip, **_options(graph)
        )
    return Variant(without, made, graph.arrays)


def _options(graph: Graph) -> dict[str, Any]:
    return {"training": graph.training, "threads": 1}


def _between_processes(rows: Sequence[str], seconds: float) -> str:
    """The native entry, the second thread and the cache on disk."""
    cells = []
    for row in rows:
        with tempfile.TemporaryDirectory() as folder:
            found = list(_entry_threads_cache(row, seconds, Path(folder)))
        cells += [[row, *cell] for cell in found]
    return table(["row", "without", "with it", "without it", "times slower"], cells, left=2)


def _entry_threads_cache(row: str, seconds: float, folder: Path) -> Iterator[list[str]]:
    cold = _compiling(row, folder)
    if cold is None:
        return
    cached = min(filter(None, (_compiling(row, folder) for _ in range(TURNS))))
    yield _compared("the cache on disk (sg.function)", cached, cold)
    slow = {"SYMGRAPH_FAST_ENTRY": "0"}
    plain, through_ctypes, threaded = ([] for _ in range(3))
    for _ in range(TURNS):
        plain.append(_call(row, folder, 1, {}, seconds))
        through_ctypes.append(_call(row, folder, 1, slow, seconds))
        if cores() > 1:
            threaded.append(_call(row, folder, 2, {}, seconds))
    one = float(np.median(plain))
    yield _compared("the native entry (calls through ctypes)", one, float(np.median(through_ctypes)))
    if threaded:
        yield _compared("the second thread", float(np.median(threaded)), one)


def _compared(what: str, with_it: float, without: float) -> list[str]:
    return [what, duration(with_it), duration(without), number(without / with_it, "x")]


def _compiling(row: str, folder: Path) -> float | None:
    """Seconds of sg.function in a new process; None, with a message, where the row cannot run."""
    try:
        with Worker(Task("symgraph", row, 1, sys.executable, folder)) as worker:
            return worker.listen()["compiling"]
    except SymgraphError as error:
        print(f"{row} is left out: {error}", file=sys.stderr, flush=True)
        return None


def _call(row: str, folder: Path, threads: int, settings: Mapping[str, str], seconds: float) -> float:
    with Worker(Task("symgraph", row, threads, sys.executable, folder, settings)) as worker:
        worker.listen()
        return worker.ask(f"time {seconds / TURNS}")["seconds"]


if __name__ == "__main__":
    sys.exit(main())
