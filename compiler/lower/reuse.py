"""Lowering each shape of cluster once: the layers of a deep network differ only in the memory they run on.

Two clusters are alike if their ops, attributes, types, edges and loops are, and if the same of their values
share memory. Then the kernels of one are the kernels of the other, on other memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from compiler.clusters import Cluster
from compiler.llvm.target import Target
from compiler.loop.grammar import Kernel
from compiler.lower.access import Arranged, Home, Memory, Scratch
from compiler.lower.cluster import lower_cluster
from compiler.lower.step import Step
from compiler.views import is_scalar_constant, is_view
from symgraph.graph import Node, key_of
from symgraph.ops.reduce import EXTENT
from symgraph.symbol import constant_node, made_for


@dataclass(frozen=True, slots=True)
class Outline:
    """`key` is equal for clusters that are alike; `homes` are the memories it numbers, in that order."""

    key: Hashable
    homes: tuple[Memory, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Kernels, and for each buffer the number of its home, or the scratch of the first cluster.

    `sources` are the numbers of the constants that hold what is arranged anew.
    """

    kernels: tuple[tuple[Kernel, tuple[int | Scratch, ...]], ...]
    sources: Mapping[Arranged, int]

    @staticmethod
    def of(steps: list[Step], homes: tuple[Memory, ...]) -> Template:
        numbers: dict[Memory, int] = {home: number for number, home in enumerate(homes)}
        return Template(
            tuple(
                (step.kernel, tuple(m if isinstance(m, Scratch) else numbers[m] for m in step.memories))
                for step in steps
            ),
            {m: numbers[m.source] for step in steps for m in step.memories if isinstance(m, Arranged)},
        )

    def steps(self, cluster: Cluster, homes: tuple[Memory, ...]) -> list[Step]:
        """The same kernels on the memory of another cluster, with scratch of its own."""
        own: dict[Scratch, Scratch] = {}
        arranged: dict[Arranged, Node] = {}

        def bound(memory: int | Scratch) -> Memory:
            if isinstance(memory, int):
                return homes[memory]
            if isinstance(memory, Arranged):
                if memory not in arranged:
                    source = homes[self.sources[memory]]
                    assert isinstance(source, Node), "a constant lives in memory of its own"
                    with made_for(cluster.root, "lower"):
                        arranged[memory] = constant_node(memory.arrange(source.attrs["value"]))
                return arranged[memory]
            return own.setdefault(memory, Scratch(memory.shape, memory.dtype))

        return [Step(kernel, tuple(map(bound, memories)), cluster) for kernel, memories in self.kernels]


class Lowering:
    """Lowers clusters of one program."""

    def __init__(self, dims: tuple[str, ...], target: Target, few_rows: bool):
        self._dims = dims
        self._target = target
        self._few_rows = few_rows
        self._known: dict[Hashable, Template] = {}

    def steps(self, cluster: Cluster, home: Home) -> list[Step]:
        """The kernels of a cluster, in the order they run. `home` tells where a node's value lives."""
        outline = outline_of(cluster, home)
        known = self._known.get(outline.key)
        if known is None:
            steps = lower_cluster(cluster, home, self._dims, self._target, self._few_rows)
            known = self._known[outline.key] = Template.of(steps, outline.homes)
        return known.steps(cluster, outline.homes)


def outline_of(cluster: Cluster, home: Home) -> Outline:
    """Everything that lowering looks at, with numbers for nodes."""
    numbers: dict[Node, int] = {}
    rows: list[Hashable] = []
    homes: dict[Memory, int] = {}
    made = set(cluster.computed)
    for member in cluster.nodes:
        stack = [member]
        while stack:
            node = stack[-1]
            inner = node in made or is_view(node)
            waiting = [i for i in node.inputs if i not in numbers] if inner else ()
            if node not in numbers and waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if node not in numbers:
                row = _row(node, cluster, numbers) if inner else _leaf(node)
                memory = homes.setdefault(home(node), len(homes)) if not is_view(node) else None
                numbers[node] = len(rows)
                rows.append((row, memory))
    order = tuple(numbers[n] for n in cluster.nodes)
    stored = tuple(numbers[n] for n in cluster.stored)
    key = (cluster.form, cluster.domain, cluster.reduced, tuple(rows), order, stored)
    return Outline(key, tuple(homes))


def _row(node: Node, cluster: Cluster, numbers: dict[Node, int]) -> Hashable:
    operands = tuple(numbers[i] for i in node.inputs)
    return node.op, key_of(node.attrs), node.type, cluster.labels.get(node), operands


def _leaf(node: Node) -> Hashable:
    """What is read from memory is known by its type; a number or an extent is written into the kernel."""
    if is_scalar_constant(node):
        return node.type, node.attrs["value"].tobytes()
    return node.type, node.attrs["extent"] if node.op is EXTENT else None
