"""A small program over tensors as data: what the random tests make, run in both worlds, shrink and print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

import symgraph as sg
from compiler.driver import Options
from symgraph import nn
from symgraph.dimension import Dim, evaluate
from symgraph.eager import Parameter, State
from symgraph.graph import Graph
from symgraph.ops.random import random_uniform
from symgraph.symbol import node_of
from symgraph.types import FLOATS, TensorType

Sizes = Mapping[str, int]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1.0, -0.5, 0.25, 2.0])
NAMES = re.compile(r"\b[a-z]\d+\b")


@dataclass(frozen=True)
class Leaf:
    """Where values come from. Indices are ints in [0, high)."""

    name: str
    kind: Literal["input", "parameter", "state"]
    type: TensorType
    high: int = 5

    def draw(self, rng: np.random.Generator, sizes: Sizes, special: bool = False) -> np.ndarray:
        shape = tuple(evaluate(e, sizes) for e in self.type.shape)
        if self.type.dtype not in FLOATS:
            return np.asarray(rng.integers(0, self.high, shape), self.type.dtype)
        if special:
            return np.asarray(rng.choice(SPECIAL, shape), self.type.dtype)
        return np.asarray(rng.standard_normal(shape), self.type.dtype)


@dataclass(frozen=True)
class Line:
    """`name = text`, an expression over earlier names."""

    name: str
    text: str
    type: TensorType

    @property
    def operands(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(NAMES.findall(self.text)))


@dataclass(frozen=True)
class Program:
    """`outputs`, `updates` (state, value) and gradients of the sum of `losses` with respect to `wanted`;
    with `second`, also the gradients of those gradients' sum of squares."""

    seed: int
    leaves: tuple[Leaf, ...]
    lines: tuple[Line, ...] = ()
    outputs: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    updates: tuple[tuple[str, str], ...] = ()
    second: bool = False
    sizes: tuple[Sizes, ...] = ({},)
    options: Options = field(default_factory=Options)
    threads: int = 1

    def leaf(self, name: str) -> Leaf | None:
        return next((leaf for leaf in self.leaves if leaf.name == name), None)

    def types(self) -> dict[str, TensorType]:
        return {v.name: v.type for v in (*self.leaves, *self.lines)}

    def inputs(self) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self.leaves if leaf.kind == "input")

    def stored(self) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self.leaves if leaf.kind != "input")

    def trimmed(self) -> Program:
        """Without lines and leaves that nothing needs."""
        needed = {*self.outputs, *self.losses, *self.wanted, *(n for pair in self.updates for n in pair)}
        kept: list[Line] = []
        for line in reversed(self.lines):
            if line.name in needed:
                kept.append(line)
                needed.update(line.operands)
        leaves = tuple(leaf for leaf in self.leaves if leaf.name in needed)
        return replace(self, leaves=leaves, lines=tuple(reversed(kept)))


def values_of(program: Program, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Every name's value, in the world of the leaves."""
    values: dict[str, Any] = dict(leaves)
    modules = {"sg": sg, "nn": nn, "np": np, "random_uniform": random_uniform}
    for line in program.lines:
        values[line.name] = eval(line.text, {**modules, **values})  # a lambda finds names in globals alone
    return values


def results_of(program: Program, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by position, gradients by leaf, updates by state: what both worlds must agree on."""
    values = values_of(program, leaves)
    found = {f"output {i} ({name})": values[name] for i, name in enumerate(program.outputs)}
    if program.wanted:
        loss = sum((sg.sum(sg.tanh(values[name] * 0.5)) for name in program.losses[1:]),
                   start=sg.sum(sg.tanh(values[program.losses[0]] * 0.5)))  # fmt: skip
        gradients = sg.grad(loss, {name: leaves[name] for name in program.wanted})
        found.update({f"gradient of {name}": g for name, g in gradients.items()})
        if program.second:
            total = sum((sg.sum(g * g) for g in gradients.values()), start=loss)
            again = sg.grad(total, {name: leaves[name] for name in program.wanted})
            found.update({f"second gradient of {name}": g for name, g in again.items()})
    found.update({f"update of {state}": values[value] for state, value in program.updates})
    return found


@dataclass(frozen=True)
class Written:
    """The program as a static graph, with the states it lives in."""

    graph: Graph
    labels: tuple[str, ...]
    states: dict[str, State]


def write(program: Program) -> Written:
    """Build the static graph. States and parameters get their values from the program's seed."""
    leaves: dict[str, Any] = {}
    states: dict[str, State] = {}
    for leaf in program.leaves:
        if leaf.kind == "input":
            leaves[leaf.name] = sg.input(leaf.name, leaf.type.shape, leaf.type.dtype)
        else:
            array = stored_array(program, leaf)
            make = Parameter if leaf.kind == "parameter" else lambda a, name: State(name, a)
            leaves[leaf.name] = states[leaf.name] = make(array, name=leaf.name)
    found = results_of(program, leaves)
    labels = tuple(k for k in found if not k.startswith("update"))
    updates = tuple((node_of(leaves[s]), node_of(found[f"update of {s}"])) for s, _ in program.updates)
    graph = Graph(
        inputs=tuple(leaves[leaf.name].node for leaf in program.inputs()),
        outputs=tuple(node_of(found[label]) for label in labels),
        updates=updates,
    )
    return Written(graph, (*labels, *(f"update of {s}" for s, _ in program.updates)), states)


def stored_array(program: Program, leaf: Leaf) -> np.ndarray:
    number = int(leaf.name[1:])
    return leaf.draw(np.random.default_rng([program.seed, number, ord(leaf.name[0])]), {})


def input_arrays(program: Program, sizes: Sizes, special: bool = False) -> list[np.ndarray]:
    """An input's array does not depend on which other inputs there are, so that shrinking changes nothing."""
    made = []
    for leaf in program.inputs():
        rng = np.random.default_rng([program.seed, int(leaf.name[1:]), ord(leaf.name[0]), *sizes.values()])
        made.append(leaf.draw(rng, sizes, special))
    return made


def eager_results(program: Program, arrays: list[np.ndarray], wide: bool = False) -> dict[str, np.ndarray]:
    """What the eager world says; with `wide`, in float64."""
    leaves = {}
    given = dict(zip((leaf.name for leaf in program.inputs()), arrays, strict=True))
    for leaf in program.leaves:
        array = given[leaf.name] if leaf.name in given else stored_array(program, leaf)
        if wide and leaf.type.dtype in FLOATS:
            array = array.astype(np.float64)
        leaves[leaf.name] = sg.tensor(array, requires_grad=leaf.type.dtype in FLOATS)
    return {label: value.data for label, value in results_of(program, leaves).items()}


def source(program: Program) -> str:
    """The program as a script that can be run, for reports."""
    out = ["import numpy as np", "import symgraph as sg", "from symgraph import nn", ""]
    for leaf in program.leaves:
        shape = tuple(e if isinstance(e, int) else str(e) for e in leaf.type.shape)
        dtype = f"sg.{leaf.type.dtype}"
        if leaf.kind == "input":
            out.append(f"{leaf.name} = sg.input({leaf.name!r}, {shape}, {dtype})")
        else:
            maker = "nn.Parameter(" if leaf.kind == "parameter" else f"sg.state({leaf.name!r}, "
            out.append(
                f"{leaf.name} = {maker}np.random.default_rng(0).standard_normal({shape}).astype({dtype}))"
            )
    out += [f"{line.name} = {line.text}  # {line.type}" for line in program.lines]
    if program.wanted:
        terms = " + ".join(f"sg.sum(sg.tanh({name} * 0.5))" for name in program.losses)
        out += [f"loss = {terms}", f"gradients = sg.grad(loss, [{', '.join(program.wanted)}])"]
        if program.second:
            out.append("second: sg.grad(loss + sum(sg.sum(g * g) for g in gradients), the same)")
    out.append(f"outputs = [{', '.join(program.outputs)}]")
    out.append(f"updates = {{{', '.join(f'{s}: {v}' for s, v in program.updates)}}}")
    out.append(f"# sizes {list(map(dict, program.sizes))}, {program.options}, threads={program.threads}")
    return "\n".join(out)


def plain(shape: tuple[Any, ...]) -> bool:
    """Whether an input can be declared with this shape: ints and bare names."""
    return all(isinstance(e, int) or e == Dim.named(str(e)) for e in shape)
