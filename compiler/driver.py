"""The compiler's door: a native function for a graph, compiled now or taken from the cache on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compiler.graph_key import GraphKey, graph_key
from compiler.jit import cache as disk
from compiler.jit.function import Code, NativeFunction
from compiler.jit.load import link, load
from compiler.jit.state import has_fast_entry
from compiler.llvm.entry import emit_program
from compiler.llvm.entry_kernels import updates_weights
from compiler.llvm.target import Target
from compiler.program import Argument
from compiler.recipe import Lowered, Options, Recipe
from compiler.stored import Stored, decode, encode
from symgraph import reference
from symgraph.graph import Graph, Node
from symgraph.types import TensorType

__all__ = ["Compiled", "Lowered", "Options", "compile_graph", "lower", "run_plainly", "weight_array"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A native function and what it was compiled from. `seconds` are what its compilation took, by step;
    `threads` is what the caller asked for."""

    recipe: Recipe
    native: NativeFunction
    seconds: dict[str, float]
    threads: int | None

    @property
    def lowered(self) -> Lowered:
        """Every step of the compilation; taken only now if the function came from the cache."""
        return self.recipe.lowered


def lower(
    graph: Graph, name: str, output_names: Sequence[str], options: Options, target: Target
) -> Lowered:
    """All steps up to the program, for a target."""
    return Recipe(graph, name, tuple(output_names), options, target).lowered


def compile_graph(
    graph: Graph,
    name: str,
    output_names: Sequence[str],
    options: Options,
    *,
    threads: int | None = None,
    lock: threading.Lock | None = None,
) -> Compiled:
    """A native function for this machine; from the cache on disk if an equal graph was compiled before."""
    start = time.perf_counter()
    recipe = Recipe(graph, name, tuple(output_names), options, Target.host())
    folder = disk.directory()
    key = _key(recipe) if folder is not None else None
    if folder is None or key is None:
        return _compile(recipe, threads, lock)
    stored = _read(folder, key)
    if stored is not None:
        native = _link(recipe, stored, threads, lock)
        return Compiled(recipe, native, {"cache": time.perf_counter() - start}, threads)
    compiled = _compile(recipe, threads, lock, cache=False)
    _write(folder, key, compiled)
    return compiled


def _compile(
    recipe: Recipe, threads: int | None, lock: threading.Lock | None, cache: bool = True
) -> Compiled:
    """`cache`: look for the object code of the program, for graphs that have no key."""
    lowered = recipe.lowered
    start = time.perf_counter()
    native = load(
        lowered.program,
        recipe.target,
        [weight_array(node) for node in lowered.memory.weights],
        threads=threads,
        cache=cache,
        lock=lock,
        fallback=partial(_run_recipe, recipe),
    )
    seconds = {**lowered.seconds, "native code": time.perf_counter() - start}
    return Compiled(recipe, native, seconds, threads)


def _key(recipe: Recipe) -> GraphKey | None:
    options = recipe.options
    switches = (options.training, options.fuse, sorted(options.skip), options.frozen)
    settings = (recipe.name, recipe.output_names, switches, has_fast_entry())
    return graph_key(recipe.graph, settings, recipe.target, options.frozen)


def _read(folder: Path, key: GraphKey) -> Stored | None:
    data = disk.read(folder, key.text)
    return decode(data, key) if data is not None else None


def _write(folder: Path, key: GraphKey, compiled: Compiled) -> None:
    lowered, code = compiled.lowered, compiled.native.code.object_code
    entry = encode(lowered.memory.weights, updates_weights(lowered.program), code, key)
    disk.write(folder, key.text, entry)


def _link(
    recipe: Recipe, stored: Stored, threads: int | None, lock: threading.Lock | None
) -> NativeFunction:
    """The function of stored code. What only errors and reports need is compiled when they do."""
    weights = tuple(Argument("weight", TensorType(w.shape, w.dtype)) for w in stored.weights)
    code = Code(partial(_text, recipe), stored.object_code, recipe.target, from_cache=True)
    return link(
        replace(recipe.interface, weights=weights),
        code,
        stored.weights,
        threads=threads,
        lock=(lock or threading.Lock()) if stored.updates else None,
        fallback=partial(_run_recipe, recipe),
    )


def _text(recipe: Recipe) -> str:
    return emit_program(recipe.lowered.program, recipe.target, python=has_fast_entry())


def _run_recipe(recipe: Recipe, arrays: Sequence[np.ndarray]) -> Any:
    return run_plainly(recipe.derived, arrays)


def weight_array(node: Node) -> np.ndarray:
    """The memory of a state, in place; a constant's own array."""
    state = node.attrs.get("state")
    return state.data if state is not None else np.asarray(node.attrs["value"], order="C")


def run_plainly(graph: Graph, arrays: Sequence[np.ndarray]) -> Any:
    """One call in numpy, states updated too: for empty dimensions, and to explain what is wrong."""
    values = reference.run(graph, arrays)
    outputs = tuple(np.array(v) for v in values[: len(graph.outputs)])
    news = [v.copy() for v in values[len(graph.outputs) : len(graph.outputs) + len(graph.updates)]]
    for (state, _), new in zip(graph.updates, news, strict=True):
        state.attrs["state"].data[...] = new
    return outputs[0] if len(outputs) == 1 else outputs
