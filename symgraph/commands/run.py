"""`symgraph run`."""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.commands.models import MODEL_HELP, in_order, open_model
from symgraph.io.atomic import replace_file
from symgraph.library import SharedModel
from symgraph.structure import flatten

HELP = "call a model or a shared library on the arrays of a file"
EXAMPLES = """\
  symgraph run digits.safetensors images.npz -o probabilities.npz
  symgraph run build/libdigits.so images.npz -o probabilities.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help=f"{MODEL_HELP}; or a shared library that `build` wrote"
    )
    parser.add_argument("input", type=Path, metavar="INPUT.npz", help="an array under each input's name")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT.npz",
        help="where to write an array under each output's name ('out' for a single one)",
    )


def run(arguments: argparse.Namespace) -> int:
    model = open_model(arguments.model)
    results = model(*in_order(model, _arrays(arguments.input)))
    named = _named(model, results)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **named)
    replace_file(arguments.output, [buffer.getvalue()])
    for name, array in named.items():
        print(f"{name}: {array.dtype}{list(array.shape)}")
    return 0


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Raises InputError for another kind of file."""
    if not path.is_file():
        raise sg.InputError(f"{path}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise sg.InputError(f"{path}: not an .npz file of numbers: {error}") from error


def _named(model: Any, results: Any) -> dict[str, np.ndarray]:
    if not isinstance(model, SharedModel):
        return dict(flatten(results))
    arrays = results if isinstance(results, tuple) else (results,)
    names = [argument.name for argument in model.signature.outputs]
    return dict(zip(names, arrays, strict=True))
