"""`symgraph draw`."""

from __future__ import annotations

import argparse
from pathlib import Path

import symgraph as sg
from symgraph.commands.models import MODEL_HELP, check_stage, open_any

HELP = "draw a model: .svg, .html, .dot or .png by the suffix of the file"
EXAMPLES = """\
  symgraph draw digits.safetensors -o digits.svg
  symgraph draw train.py:step -o step.html --stage derive_gradients
  symgraph draw train.py:model -o layers.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=f"{MODEL_HELP}; a module, symbol or tensor too")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the picture")
    parser.add_argument(
        "--stage",
        metavar="NAME",
        help="of a compiled function: 'written', a pass, 'clusters' (the fused kernels, the default), "
        "or 'kernels' (a box each)",
    )


def run(arguments: argparse.Namespace) -> int:
    found = open_any(arguments.model)
    if arguments.stage:
        check_stage(found, arguments.model, arguments.stage)
    if isinstance(found, sg.Function):
        path = found.draw(arguments.output, stage=arguments.stage or "clusters")
    elif isinstance(found, sg.nn.Module | sg.Symbol | sg.Tensor | sg.Graph):
        path = sg.draw(found, arguments.output)
    else:
        raise sg.SymgraphError(f"{arguments.model} is a {type(found).__name__}, which has no graph to draw")
    print(path)
    return 0
