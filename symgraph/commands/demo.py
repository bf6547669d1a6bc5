"""`symgraph demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from symgraph.train.demo import peak_memory, run_demo, run_world
from symgraph.train.worlds import WORLDS, Settings
from symgraph.words import duration

HELP = "train a classifier of handwritten digits in both worlds, draw it, export it, check it"
EXAMPLES = """\
  symgraph demo                          both worlds, pictures and the binary, into symgraph-demo/
  symgraph demo --epochs 3 --output /tmp/digits
  symgraph demo --world static           only the compiled training"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("symgraph-demo"),
        metavar="DIR",
        help="folder for pictures, model and binary (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=_positive,
        default=Settings().epochs,
        metavar="N",
        help="passes over the training images (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=Settings().seed,
        metavar="N",
        help="of weights, dropout and the order of the images (default: %(default)s)",
    )
    parser.add_argument(
        "--world",
        choices=("both", *WORLDS),
        default="both",
        help="train in one world only, and write its figures to DIR/WORLD.json",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, only the results")


def run(arguments: argparse.Namespace) -> int:
    settings = Settings(epochs=arguments.epochs, seed=arguments.seed)
    if arguments.world == "both":
        return 0 if run_demo(arguments.output, settings, arguments.quiet, print) else 1
    outcome = run_world(arguments.world, arguments.output, settings, arguments.quiet)
    accuracy, step = f"{outcome.accuracy:.2%}", duration(outcome.step_seconds)
    print(f"{arguments.world}: test accuracy {accuracy}, {step} a step, peak memory {peak_memory(outcome)}")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text}")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a number from 0 below 2^63, got {text}")
    return number
