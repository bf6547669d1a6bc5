"""The benchmark's command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from symgraph.bench.measure import PEERS, measure_all
from symgraph.bench.page import page, put_between, summary
from symgraph.io.atomic import replace_file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m symgraph.bench", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page to write; printed in any case")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="where to renew the short table")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timing (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="measure only these")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has torch, jax or both")
    parser.add_argument("--engines", nargs="+", choices=PEERS, default=list(PEERS), help="which peers")
    arguments = parser.parse_args()
    if arguments.peers is None:
        print("peers are left out; --peers PYTHON measures torch and jax in that Python", file=sys.stderr)
    measured = measure_all(arguments.seconds, arguments.only, arguments.peers, arguments.engines)
    text = page(measured)
    print(text)
    if arguments.write:
        replace_file(arguments.write, [text.encode()])
    if arguments.readme:
        short = put_between(arguments.readme.read_text(), summary(measured))
        replace_file(arguments.readme, [short.encode()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
