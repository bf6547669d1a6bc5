"""From a graph to files: weights frozen, folded as far as they go, compiled for a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from compiler.aot.export import Artifact, SelftestCase, export
from compiler.driver import Options, lower, weight_array
from compiler.llvm.target import Target
from symgraph import reference
from symgraph.dimension import evaluate, names_of
from symgraph.errors import ExportError
from symgraph.graph import Graph
from symgraph.types import FLOATS

SELFTEST_SIZE = 3  # of every named dimension in the stored case


def export_graph(
    graph: Graph,
    names: Sequence[str],
    directory: str | Path,
    name: str,
    kinds: tuple[str, ...],
    target: Target,
    options: Options,
) -> Artifact:
    """Files for a graph that updates nothing. The self-test's case is computed with numpy, not by us."""
    lowered = lower(graph, name, names, replace(options, frozen=True), target)
    weights = [weight_array(node) for node in lowered.memory.weights]
    resolved = lowered.stages[-1].graph
    case = selftest_case(resolved) if not resolved.updates else None
    return export(
        lowered.program, weights, directory, name, kinds=kinds, target=target, selftest_case=case
    )


def selftest_case(graph: Graph) -> SelftestCase:
    """Small seeded inputs and what numpy makes of them."""
    rng = np.random.default_rng(0)
    dims = names_of(e for node in graph.inputs for e in node.type.shape)
    sizes = dict.fromkeys(dims, SELFTEST_SIZE)
    arrays = []
    for node in graph.inputs:
        shape = tuple(evaluate(e, sizes) for e in node.type.shape)
        floats = node.type.dtype in FLOATS
        # Zero is the one integer that is a legal index everywhere.
        arrays.append((rng.standard_normal(shape) if floats else np.zeros(shape)).astype(node.type.dtype))
    outputs = reference.run(graph, arrays)[: len(graph.outputs)]
    return SelftestCase(arrays, [np.asarray(o, order="C") for o in outputs])


def export_target(target: str, cpu: str | None) -> Target:
    """"native": this machine, or its architecture with another `cpu` (an LLVM name such as x86-64-v3)."""
    host = Target.host()
    if target != "native":
        raise ExportError(f"target {target!r}: only 'native' is known; choose an older CPU with cpu=")
    return host if cpu is None else Target(host.triple, cpu)
