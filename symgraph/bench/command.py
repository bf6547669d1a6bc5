"""`symgraph bench`, and `python -m symgraph.bench`: what to measure, and where to write it."""

from __future__ import annotations

import argparse
from pathlib import Path

from symgraph.bench import results as stored
from symgraph.bench.chart import chart
from symgraph.bench.measure import OWN, measure_machine, measure_own
from symgraph.bench.page import page, put_between, summary
from symgraph.bench.problems import PROBLEMS
from symgraph.bench.process import PACKAGES, find_peers
from symgraph.bench.race import race
from symgraph.bench.results import Results
from symgraph.bench.timing import cores
from symgraph.io.atomic import replace_file

HELP = "measure symgraph's speed and what the machine could do; with --peers, other frameworks beside it"
EXAMPLES = """\
  symgraph bench                                     every row, and the roofline; a page of Markdown
  symgraph bench --rows mlp_train --threads 1 --seconds 5
  symgraph bench --peers .venv-peers/bin/python      PyTorch, JAX and others, as far as they are there"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [*PROBLEMS, *OWN]
    parser.add_argument(
        "--rows", nargs="*", choices=names, metavar="ROW", help=f"only these of {', '.join(names)}"
    )
    parser.add_argument(
        "--threads", nargs="+", type=int, help="numbers of threads (default: 1, and 2 if there are)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of timing for each figure (default: %(default)s)"
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="PYTHON",
        help="Pythons that have PyTorch, JAX, onnxruntime, PyTensor",
    )
    parser.add_argument(
        "--engines", nargs="+", choices=PACKAGES, default=list(PACKAGES), help="only these peers"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page to write instead of printing it")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="the chart to write")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="where to renew the short table")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="where to keep the figures")
    parser.add_argument(
        "--load", type=Path, metavar="FILE.json", help="take kept figures, and measure only --rows anew"
    )


def run(arguments: argparse.Namespace) -> int:
    results = stored.load(arguments.load) if arguments.load else Results()
    if arguments.rows is not None or not arguments.load:
        _measure(arguments, results)
    if arguments.save:
        results.save(arguments.save)
    text = page(results, picture=arguments.write is not None and bool(results.peers()))
    if arguments.write:
        replace_file(arguments.write, [text.encode()])
    else:
        print(text, end="")
    if arguments.picture:
        replace_file(arguments.picture, [ratios(results).encode()])
    if arguments.readme:
        short = put_between(arguments.readme.read_text(), summary(results))
        replace_file(arguments.readme, [short.encode()])
    return 0


def _measure(arguments: argparse.Namespace, results: Results) -> None:
    threads = arguments.threads or [count for count in (1, 2) if count <= cores()]
    chosen = [*PROBLEMS, *OWN] if arguments.rows is None else arguments.rows
    peers = {e: python for e, python in find_peers(arguments.peers).items() if e in arguments.engines}
    results.forget(chosen)
    if not results.machine:
        measure_machine(threads, arguments.seconds, results)
    race([name for name in PROBLEMS if name in chosen], threads, arguments.seconds, peers, results)
    measure_own([name for name in OWN if name in chosen], arguments.seconds, results)


def ratios(results: Results) -> str:
    """The chart of the page."""
    counts = results.threads()
    bars = {row: [results.ratio(row, count) for count in counts] for row in PROBLEMS}
    shown = {row: found for row, found in bars.items() if any(found)}
    legend = [f"{count} thread{'s' * (count > 1)}" for count in counts]
    return chart("Best peer's time over symgraph's: above 1x symgraph is quicker", shown, legend)
