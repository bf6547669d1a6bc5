"""From clusters to steps: the kernels of every cluster in order, those of a loop's body repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from compiler.clusters import Cluster, Form, Plan
from compiler.llvm.target import Target
from compiler.lower.access import Home, Memory, Row, Scratch
from compiler.lower.loop_storage import Storage
from compiler.lower.reuse import Lowering
from compiler.lower.step import Repeat, Step, memories_of
from symgraph.graph import Graph, Node
from symgraph.loops import loops_of

Fuse = Callable[[Graph], Plan]


class PlanLowering:
    """Lowers the clusters of one program. `fuse` cuts the bodies of loops into clusters; for `few_rows` see
    product_steps."""

    def __init__(self, dims: tuple[str, ...], target: Target, fuse: Fuse, few_rows: bool):
        self._lowering = Lowering(dims, target, few_rows)
        self._fuse = fuse
        self._loops = 0

    def steps(self, plan: Plan, home: Home, around: int | None = None) -> list[Step | Repeat]:
        """The steps of a plan; `around` is the loop whose body it is."""
        storages = {id(c): self._storage(c, around, home) for c in plan.clusters if c.form is Form.SCAN}
        moved = {node: memory for s in storages.values() for node, memory in s.before.items()}

        def own(node: Node) -> Memory:
            return moved[node] if node in moved else home(node)

        steps: list[Step | Repeat] = []
        for cluster in plan.clusters:
            if cluster.form is Form.SCAN:
                steps += self._loop(storages[id(cluster)])
            else:
                steps += self._lowering.steps(cluster, own)
        return steps

    def _storage(self, cluster: Cluster, around: int | None, home: Home) -> Storage:
        (loop,) = loops_of(cluster.nodes)
        self._loops += 1
        return Storage(loop, self._loops - 1, around, home)

    def _loop(self, storage: Storage) -> list[Step | Repeat]:
        """What is the same in every step runs once, before the loop; then the repeated rest."""
        loop = storage.loop

        def home(node: Node) -> Memory:
            return storage.inside.get(node, node)

        inside = self.steps(self._fuse(loop.body), home, storage.number)
        once, again = _split(inside, storage.number)
        return [*once, Repeat(storage.number, loop.length, loop.reverse, tuple(again))]


def _split(
    steps: Sequence[Step | Repeat], number: int
) -> tuple[list[Step | Repeat], list[Step | Repeat]]:
    """Steps that fill scratch from what no step of the loop writes, packing a weight; and the rest."""
    once: list[Step | Repeat] = []
    again: list[Step | Repeat] = []
    writers = Counter(m for step in steps for m in _written(step))
    for step in steps:
        own = _written(step)
        fixed = isinstance(step, Step) and all(
            writers[m] == (m in own) and not (isinstance(m, Row) and m.loop == number) for m in step.memories
        )
        if fixed and all(isinstance(m, Scratch) for m in own):
            once.append(step)
            writers.subtract(own)
        else:
            again.append(step)
    return once, again


def _written(step: Step | Repeat) -> set[Memory]:
    return step.written if isinstance(step, Step) else set(memories_of([step]))
