"""`symgraph build`."""

from __future__ import annotations

import argparse
from pathlib import Path

from symgraph.commands.models import MODEL_HELP, open_function

HELP = "compile a model to native files that need no Python and no library"
EXAMPLES = """\
  symgraph build digits.safetensors -o build
  symgraph build train.py:predict -o build --name digits --kind object,header
  symgraph build digits.safetensors -o build --cpu x86-64-v3      for other machines too"""
KINDS = "object,header,static,shared"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the files"
    )
    parser.add_argument(
        "--name", metavar="N", help="prefix of the C functions and of the files (default: the model's)"
    )
    parser.add_argument(
        "--kind",
        type=lambda text: text.split(","),
        default=KINDS.split(","),
        metavar="KINDS",
        help=f"what to write, of {KINDS} (default: all)",
    )
    parser.add_argument(
        "--target", default="native", metavar="T", help="the machine to build for (default: %(default)s)"
    )
    parser.add_argument(
        "--cpu", metavar="NAME", help="an LLVM name of its processor (default: this machine's)"
    )


def run(arguments: argparse.Namespace) -> int:
    model = open_function(arguments.model)
    artifact = model.export(
        arguments.output,
        name=arguments.name,
        kinds=tuple(arguments.kind),
        target=arguments.target,
        cpu=arguments.cpu,
    )
    for kind, path in artifact.paths.items():
        print(f"{kind:8} {path.stat().st_size:>10,} bytes  {path}")
    return 0
