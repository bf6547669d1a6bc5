"""The one door to the compiler: `sg.function` and what a compiled function can tell about itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import compiler
from compiler.driver import Compiled, Options, compile_graph
from symgraph import viz
from symgraph.dimension import evaluate
from symgraph.eager import State, Tensor
from symgraph.errors import ExportError, GraphError, InputError
from symgraph.graph import Graph, Node, check_update
from symgraph.io import graph_to_json, write_document
from symgraph.reference import check_numerics as check_graph
from symgraph.structure import encode, flatten, rebuild
from symgraph.symbol import INPUT, Symbol, node_of, placed
from symgraph.text import graph_text
from symgraph.value import Value

if TYPE_CHECKING:
    import compiler.deploy
    import compiler.probes
    import compiler.profiler
    import compiler.report
    from compiler.aot.export import Artifact
    from compiler.profiler import Profile
    from compiler.report import Report

MOST_DRAWN = 2000  # nodes of a graph whose fused kernels are drawn with all that is in them

# Functions that change states run one at a time: two of them may share a state.
_updates_lock = threading.Lock()


def _renew_lock() -> None:
    """In the child of a fork the lock may be held by a thread that is not there."""
    global _updates_lock
    _updates_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class Function:
    """A compiled function: call it with one array for each input; it returns fresh arrays.

    Safe to call from several threads. Arrays must have the declared dtype and shape; named dimensions take
    their size from the arrays. Raises InputError, naming the input, for anything else.
    """

    def __init__(self, graph: Graph, structure: Any, names: Sequence[str], options: Options, settings: dict):
        self.graph = graph
        self.name: str = settings["name"]
        self.options = options
        self._names = tuple(names)
        self._structure = structure
        self._single = not isinstance(structure, dict | list | tuple)
        self._check = settings["check_numerics"]
        self._inputs = tuple(n.name for n in graph.inputs)
        self._compiled: Compiled = compile_graph(
            graph, self.name, names, options, threads=settings["threads"], lock=_updates_lock
        )
        self._native = self._compiled.native
        # A small function takes no longer than one more call of a Python function would.
        self._direct = self._native.direct if self._single and not self._check else None

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        if self._direct is not None and not named:
            result = self._direct(*arrays)
            if result is not None:
                return result
        return self._call(arrays, named)

    def _call(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        if named:
            arrays = self._in_order(arrays, named)
        if self._check:
            check_graph(self._compiled.lowered.derived, self._as_arrays(arrays))
        result = self._native(*arrays)
        return result if self._single else self._rebuilt(result)

    def _rebuilt(self, result: Any) -> Any:
        leaves = (result,) if isinstance(result, np.ndarray) else result
        return rebuild(self._structure, leaves)

    def _as_arrays(self, arrays: Sequence[Any]) -> Sequence[np.ndarray]:
        return self._native.signature.arrays([a.data if isinstance(a, Tensor) else a for a in arrays])

    def _in_order(self, arrays: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Inputs given by name, put where they belong."""
        left = self._inputs[len(arrays) :]
        for name in named:
            if name in self._inputs and name not in left:
                raise InputError(f"{self.name}: input {name!r} is given by its place and by its name")
            if name not in left:
                raise InputError(f"{self.name}: the inputs are {list(self._inputs)}, there is no {name!r}")
        missing = [name for name in left if name not in named]
        if missing:
            raise InputError(f"{self.name}: input {missing[0]!r} is missing")
        return (*arrays, *(named[name] for name in left))

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of what `text` and `draw` can show: the graph after each pass, and the code below it."""
        return (*(s.name for s in self._compiled.lowered.stages), "clusters", "kernels", "llvm", "assembly")

    def text(self, stage: str = "clusters") -> str:
        """One stage of the compilation as text."""
        return self.report().text(self._known(stage))

    def draw(self, path: str | Path, stage: str = "clusters") -> Path:
        """One stage of the compilation as a picture: .dot, .svg, .png or .html by suffix.

        "clusters" frames what was fused into each kernel; "kernels" folds each frame into one box, as
        "clusters" does by itself for graphs of more than MOST_DRAWN nodes.
        """
        lowered = self._compiled.lowered
        graphs = {s.name: s.graph for s in lowered.stages}
        if self._known(stage) in graphs:
            return viz.draw(graphs[stage], path, title=f"{self.name}: {stage}")
        if stage not in ("clusters", "kernels"):
            raise ExportError(f"draw: stage {stage!r} is text; see it with text({stage!r})")
        groups = [(c.title(), tuple(c.nodes)) for c in lowered.plan.clusters]
        if stage == "kernels" or len(lowered.graph.nodes) > MOST_DRAWN:
            return viz.draw_folded(lowered.graph, path, groups, f"{self.name}: fused kernels, a box each")
        return viz.draw(lowered.graph, path, clusters=groups, title=f"{self.name}: fused kernels")

    def export(
        self,
        directory: str | Path,
        name: str | None = None,
        kinds: Sequence[str] = ("object", "header", "static", "shared"),
        target: str = "native",
        cpu: str | None = None,
        weights: str = "embedded",
    ) -> Artifact:
        """Write the function as native code without a runtime: NAME.o, NAME.h, libNAME.a, libNAME.so.

        Weights are frozen as they are now. Raises ExportError for a function that updates state, for an
        unknown kind or target, and where a file cannot be written; then no file is changed.
        """
        if weights != "embedded":
            raise ExportError(f"weights={weights!r}: only 'embedded' is known")
        return compiler.deploy.export_graph(
            self.graph,
            self._names,
            directory,
            name or self.name,
            tuple(kinds),
            compiler.deploy.export_target(target, cpu),
            self.options,
        )

    def save(self, path: str | Path) -> None:
        """Write the graph and its weights to one file that `sg.load` makes a function of again."""
        content, tensors = graph_to_json(self.graph)
        described = {
            "graph": content,
            "name": self.name,
            "training": self.options.training,
            "outputs": encode(self._structure),
        }
        write_document(path, "function", described, tensors)

    def peak_bytes(self, *arrays: Any) -> int:
        """Bytes that a call on these arrays needs at once: arena, inputs and outputs; weights not counted."""
        sizes = self._native.signature.sizes(self._as_arrays(arrays))
        ends = (*self.graph.inputs, *self.graph.outputs)
        return self._native.workspace_bytes(sizes) + sum(evaluate(n.type.bytes, sizes) for n in ends)

    def profile(self, *arrays: Any, calls: int = 20) -> Profile:
        """Median time of each kernel over some calls on these arrays, by kernel and by user line."""
        return compiler.profiler.profile_graph(self._compiled, self._as_arrays(arrays), calls)

    def _known(self, stage: str) -> str:
        if stage not in self.stages:
            raise ValueError(f"there is no stage {stage!r}; the stages are {', '.join(self.stages)}")
        return stage

    def report(self) -> Report:
        """Kernels, what was fused into each and why, bytes, flops, arena, compile time by pass."""
        return compiler.report.report_of(self._compiled, graph_text)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{n.name}: {n.type}" for n in self.graph.inputs)
        return f"<sg.function {self.name}({inputs})>"


def probe_level(level: str, threads: int, seconds: float) -> tuple[int, float]:
    """A memory's size in bytes and the bytes a second that a triad of ours reaches there; see `probe_peak`.

    level: "L1", "L2" or "L3", or "memory" for what is beyond them.
    """
    probes = compiler.probes
    probe = probes.level_probe(threads, level)
    size = probes.capacity(level, probes.levels()[level], threads)
    return size, probe.bytes / probes.least_seconds(probe, seconds)


def probe_peak(threads: int, seconds: float) -> float:
    """Flops a second of a loop of nothing but fma, on so many threads, timed for `seconds`."""
    probe = compiler.probes.fma_probe(threads)
    return probe.flops / compiler.probes.least_seconds(probe, seconds)


def function(
    inputs: Sequence[Symbol] | Symbol,
    outputs: Any = (),
    updates: Any = None,
    *,
    training: bool = False,
    threads: int | None = None,
    name: str | None = None,
    check_numerics: bool = False,
    frozen: bool = False,
) -> Function:
    """Compile a function of `inputs` that returns `outputs` and gives states new values.

    outputs: a Symbol, or a tuple, list or dict of them; a call returns the same structure of arrays.
    updates: {state: new value}, as optimizers make them. With training=True the changes that modules
        carry (moving averages, counters of random numbers) are included by themselves.
    threads: None for all cores or SYMGRAPH_THREADS. check_numerics: run every op apart first, in forward
        order, and raise NumericsError at the first that makes a NaN or infinity (slow).
    frozen: for inference with weights that will not change. States are constants, as they are now: batch norm
        folds into the weights before it, and weights are packed once. Later changes of them are not seen.
    Raises GraphError, ShapeError, GradientError or CompileError, each with the user's line.
    """
    try:
        nodes = _input_nodes((inputs,) if isinstance(inputs, Value) else tuple(inputs))
        results = tuple(_result(label, leaf) for label, leaf in flatten(outputs))
        graph = Graph(inputs=nodes, outputs=results, updates=_updates(updates))
    except GraphError as error:
        raise placed(error) from None
    return function_of(
        graph, outputs, training=training, threads=threads, name=name, check_numerics=check_numerics,
        frozen=frozen,
    )  # fmt: skip


def function_of(
    graph: Graph,
    structure: Any,
    *,
    training: bool = False,
    threads: int | None = None,
    name: str | None = None,
    check_numerics: bool = False,
    frozen: bool = False,
    fuse: bool = True,
    skip: Collection[str] = (),
) -> Function:
    """Compile a graph whose outputs are the leaves of `structure`, its updates and checks as they are.

    To measure what they bring, fuse=False makes every operation a kernel of its own, and `skip` names passes
    to leave out. ValueError for one that the compiler cannot do without.
    """
    _check_inputs(graph)
    if frozen and (training or graph.updates):
        raise GraphError(
            "a frozen function takes states as constants, so it can neither train nor update them: "
            "leave out frozen=True, or training=True and updates"
        )
    labels = [label for label, _ in flatten(structure)]
    settings = {"name": name or "function", "threads": threads, "check_numerics": check_numerics}
    options = Options(training=training, fuse=fuse, skip=frozenset(skip), frozen=frozen)
    return Function(graph, structure, labels, options, settings)


def _input_nodes(inputs: tuple[Any, ...]) -> tuple[Node, ...]:
    for value in inputs:
        if not isinstance(value, Symbol) or value.node.op is not INPUT:
            raise GraphError(f"function: inputs are made by sg.input, not {_described(value)}")
    return tuple(value.node for value in inputs)


def _result(label: str, leaf: Any) -> Node:
    if not isinstance(leaf, Value):
        got = f"{_described(leaf)}, expected a Symbol; sg.constant makes one of an array"
        raise GraphError(f"function: output {label!r} is {got}")
    return node_of(leaf)


def _updates(updates: Any) -> tuple[tuple[Node, Node], ...]:
    if not isinstance(updates, dict | None):
        expected = "updates is a dict of states and their new values"
        raise GraphError(f"function: {expected}, not {_described(updates)}")
    made = []
    for state, value in (updates or {}).items():
        if not isinstance(state, State):
            raise GraphError(f"function: only a parameter or a state can be updated, not {_described(state)}")
        new = value if isinstance(value, Value) else Symbol.lift(np.asarray(value))
        pair = (node_of(state), node_of(new))
        check_update(*pair)
        made.append(pair)
    return tuple(made)


def _check_inputs(graph: Graph) -> None:
    """Every input has a name of its own, and every input the graph reads is one of the function's."""
    names = [n.name for n in graph.inputs]
    for label in names:
        if names.count(label) > 1:
            error = f"two inputs are named {label!r}; give each sg.input a name of its own"
            raise placed(GraphError(f"function: {error}"))
    declared = set(graph.inputs)
    for node in graph.nodes:
        if node.op is INPUT and node not in declared:
            error = f"the outputs depend on input {node.name!r}, which is not among the inputs {names}"
            raise placed(GraphError(f"function: {error}"), [Symbol(node)])


def _described(value: Any) -> str:
    return f"a numpy array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.80}"
