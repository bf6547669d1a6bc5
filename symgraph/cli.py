"""The `symgraph` command. Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import symgraph as sg
from symgraph.commands import bench, build, demo, draw, inspect, run
from symgraph.commands.models import UsageError

COMMANDS = {"demo": demo, "draw": draw, "build": build, "run": run, "inspect": inspect, "bench": bench}

DESCRIPTION = "A define-then-run language for neural networks, compiled to native CPU code."
EPILOG = "symgraph COMMAND --help shows a command's options, with examples."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code. What fails is told in a message, not a traceback."""
    arguments = parser().parse_args(argv)
    try:
        code = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _fail(error, 2)
    except (sg.SymgraphError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader, such as `head`, has seen enough; what is left to write goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(prog="symgraph", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"symgraph {sg.__version__}")
    below = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        made = below.add_parser(
            name,
            help=command.HELP,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog=f"examples:\n{command.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(made)
    return top


def _fail(message: object, code: int, stream: TextIO | None = None) -> int:
    print(f"symgraph: {message}", file=stream or sys.stderr)
    return code
