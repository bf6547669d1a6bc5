"""`symgraph inspect`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import symgraph as sg
from symgraph.commands.models import check_stage, inputs_of, open_any
from symgraph.graph import Node
from symgraph.library import SharedModel
from symgraph.op import Kind

HELP = "say what is in a model, a checkpoint or a library: inputs, outputs, parameters, nodes, kernels"
EXAMPLES = """\
  symgraph inspect digits.safetensors
  symgraph inspect build/libdigits.so
  symgraph inspect train.py:step --stage kernels      the loops; 'llvm' and 'assembly' are below them"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="FILE",
        help="a file of sg.save or Function.save, a shared library, or script.py:NAME",
    )
    parser.add_argument(
        "--stage",
        metavar="NAME",
        help="print this stage of a function's compilation instead (see its 'stages')",
    )


def run(arguments: argparse.Namespace) -> int:
    found = open_any(arguments.model)
    if arguments.stage:
        check_stage(found, arguments.model, arguments.stage)
        print(found.text(arguments.stage))
        return 0
    for line in describe(found):
        print(line)
    return 0


def describe(found: Any) -> Iterator[str]:
    """Lines of text about anything that the commands can open."""
    if isinstance(found, SharedModel):  # asked first: sg.Function would load the compiler
        yield from _of_library(found)
    elif isinstance(found, sg.Function):
        yield from _of_function(found)
    elif isinstance(found, sg.Graph):
        yield from _of_graph(found)
    elif isinstance(found, sg.nn.Module):
        yield from [repr(found), *_parameters(found.named_parameters())]
    elif isinstance(found, dict):
        yield from _of_arrays(found)
    else:
        yield repr(found)


def _of_function(function: sg.Function) -> Iterator[str]:
    yield f"function {function.name}{', training' if function.options.training else ''}"
    yield from _of_graph(function.graph)
    yield f"stages: {', '.join(function.stages)}"
    yield ""
    yield str(function.report())


def _of_graph(graph: sg.Graph) -> Iterator[str]:
    yield from (f"input     {node.name}: {node.type}" for node in graph.inputs)
    yield from (f"output    {node.type}  ({node.name}, {node.location})" for node in graph.outputs)
    sources = [node for node in graph.nodes if node.op.kind is Kind.SOURCE]
    yield from _states(sources)
    inner = [node for node in graph.nodes if node.op.kind is not Kind.SOURCE]
    yield f"nodes     {len(inner)}: {_counted(node.op.name for node in inner)}"


def _states(sources: list[Node]) -> Iterator[str]:
    """Parameters by name, then how many numbers they are; other states likewise."""
    found = [node.attrs["state"] for node in sources if "state" in node.attrs]
    yield from _parameters((s.name, s) for s in found if isinstance(s, sg.Parameter))
    yield from (f"state     {s.name}: {s.type}" for s in found if not isinstance(s, sg.Parameter))


def _parameters(named: Iterable[tuple[str, sg.Parameter]]) -> Iterator[str]:
    total = 0
    for name, parameter in named:
        total += parameter.data.size
        yield f"parameter {name}: {parameter.type}"
    yield f"          {total:,} numbers to learn"


def _counted(names: Iterable[str]) -> str:
    """`8 add, 3 matmul`: most frequent first, then by name."""
    counts = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in counts)


def _of_library(library: SharedModel) -> Iterator[str]:
    info = library.info
    yield f"library {library.name}, interface {info.abi}, by symgraph {_text(info.version)}"
    yield f"made for  {_text(info.target)}, cpu {_text(info.cpu)}"
    yield f"model     sha256 {_text(info.sha256)}"
    yield from (f"input     {name}: {kind}" for name, kind in inputs_of(library))
    yield from (f"output    {argument.name}: {argument.type}" for argument in library.signature.outputs)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _of_arrays(tree: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in tree.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            yield from _of_arrays(value, f"{name}/")
        elif isinstance(value, np.ndarray):
            yield f"array     {name}: {value.dtype}{list(value.shape)}"
        else:
            yield f"value     {name}: {value!r}"
