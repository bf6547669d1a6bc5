"""What a function is compiled from. Passes and lowering are imported, and run, when a step is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import compiler
from compiler.llvm.target import Target
from compiler.program import Argument, Program
from symgraph.dimension import names_of
from symgraph.graph import Graph

if TYPE_CHECKING:
    import compiler.pipeline
    import compiler.recipe
    from compiler.pipeline import Stage
    from compiler.recipe import Lowered


@dataclass(frozen=True, slots=True)
class Options:
    """`skip` names optional passes to leave out; `fuse=False` makes every node a kernel; `frozen` takes
    weights as constants."""

    training: bool = False
    fuse: bool = True
    skip: frozenset[str] = frozenset()
    frozen: bool = False


@dataclass(frozen=True)
class Request:
    """A graph to compile, the function's names, and how and for what machine."""

    graph: Graph
    name: str
    output_names: tuple[str, ...]
    options: Options
    target: Target

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The graph after each pass."""
        options = self.options
        return compiler.pipeline.run(
            self.graph, training=options.training, frozen=options.frozen, skip=options.skip
        )

    @cached_property
    def lowered(self) -> Lowered:
        """All steps up to the program."""
        options = self.options
        return compiler.recipe.lower(
            self.stages, self.interface, self.target, merge=options.fuse, few_rows=not options.training
        )

    @property
    def derived(self) -> Graph:
        """The graph with all gradients written out, before anything was rewritten for speed."""
        return compiler.recipe.derived(self.stages)

    @property
    def interface(self) -> Program:
        """The program without weights and launches; dimensions in order of appearance in the inputs."""
        outputs = zip(self.output_names, self.graph.outputs, strict=True)
        return Program(
            name=self.name,
            inputs=tuple(Argument(n.name, n.type) for n in self.graph.inputs),
            outputs=tuple(Argument(label, n.type) for label, n in outputs),
            weights=(),
            dims=names_of(e for node in self.graph.inputs for e in node.type.shape),
            slots=(),
            launches=(),
        )
