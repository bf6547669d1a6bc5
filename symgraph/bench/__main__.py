"""`python -m symgraph.bench` is `symgraph bench`."""

import argparse
import sys

from symgraph.bench import command


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m symgraph.bench", description=command.HELP)
    command.add_arguments(parser)
    return command.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
