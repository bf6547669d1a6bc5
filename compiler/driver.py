"""The compiler's door: a native function for a graph, compiled now or taken from the cache on disk."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import compiler.llvm
from compiler.graph_key import GraphKey, graph_key
from compiler.jit import cache as disk
from compiler.jit.function import Code, NativeFunction
from compiler.jit.load import link, load
from compiler.jit.state import has_fast_entry
from compiler.llvm.target import Target
from compiler.program import Argument
from compiler.request import Options, Request
from compiler.stored import Stored, decode, encode
from symgraph import reference
from symgraph.graph import Graph, Node
from symgraph.types import TensorType

if TYPE_CHECKING:
    import compiler.llvm.entry
    import compiler.llvm.entry_kernels
    from compiler.recipe import Lowered

__all__ = ["Compiled", "Options", "compile_graph", "lower", "run_plainly", "weight_array"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A native function and what it was compiled from. `seconds` are what its compilation took, by step;
    `threads` is what the caller asked for."""

    request: Request
    native: NativeFunction
    seconds: dict[str, float]
    threads: int | None

    @property
    def lowered(self) -> Lowered:
        """Every step of the compilation; taken only now if the function came from the cache."""
        return self.request.lowered


def lower(
    graph: Graph, name: str, output_names: Sequence[str], options: Options, target: Target
) -> Lowered:
    """All steps up to the program, for a target."""
    return Request(graph, name, tuple(output_names), options, target).lowered


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
    request = Request(graph, name, tuple(output_names), options, Target.host())
    folder = disk.directory()
    key = _key(request) if folder is not None else None
    if folder is None or key is None:
        return _compile(request, threads, lock)
    stored = _read(folder, key)
    if stored is not None:
        native = _link(request, stored, threads, lock)
        return Compiled(request, native, {"cache": time.perf_counter() - start}, threads)
    compiled = _compile(request, threads, lock, cache=False)
    _write(folder, key, compiled)
    return compiled


def _compile(
    request: Request, threads: int | None, lock: threading.Lock | None, cache: bool = True
) -> Compiled:
    """`cache`: look for the object code of the program, for graphs that have no key."""
    with _no_collections():
        lowered = request.lowered
        start = time.perf_counter()
        native = load(
            lowered.program,
            request.target,
            [weight_array(node) for node in lowered.memory.weights],
            threads=threads,
            cache=cache,
            lock=lock,
            fallback=partial(_run_request, request),
        )
    seconds = {**lowered.seconds, "native code": time.perf_counter() - start}
    return Compiled(request, native, seconds, threads)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Python's collector at rest: little of what compiling makes is garbage before its end, and looking for
    it again and again took an eighth of the time of a network with 100 layers."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _key(request: Request) -> GraphKey | None:
    options = request.options
    switches = (options.training, options.fuse, sorted(options.skip), options.frozen)
    settings = (request.name, request.output_names, switches, has_fast_entry())
    return graph_key(request.graph, settings, request.target, options.frozen)


def _read(folder: Path, key: GraphKey) -> Stored | None:
    data = disk.read(folder, key.text)
    return decode(data, key) if data is not None else None


def _write(folder: Path, key: GraphKey, compiled: Compiled) -> None:
    lowered, code = compiled.lowered, compiled.native.code.object_code
    updates = compiler.llvm.entry_kernels.updates_weights(lowered.program)
    entry = encode(lowered.memory.weights, updates, code, key)
    disk.write(folder, key.text, entry)


def _link(
    request: Request, stored: Stored, threads: int | None, lock: threading.Lock | None
) -> NativeFunction:
    """The function of stored code. What only errors and reports need is compiled when they do."""
    weights = tuple(Argument("weight", TensorType(w.shape, w.dtype)) for w in stored.weights)
    code = Code(partial(_text, request), stored.object_code, request.target, from_cache=True)
    return link(
        replace(request.interface, weights=weights),
        code,
        stored.weights,
        threads=threads,
        lock=(lock or threading.Lock()) if stored.updates else None,
        fallback=partial(_run_request, request),
    )


def _text(request: Request) -> str:
    emit = compiler.llvm.entry.emit_program
    return emit(request.lowered.program, request.target, python=has_fast_entry())


def _run_request(request: Request, arrays: Sequence[np.ndarray]) -> Any:
    return run_plainly(request.derived, arrays)


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
