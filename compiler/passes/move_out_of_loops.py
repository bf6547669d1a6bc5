"""Pass: work that does not wait for the loop is done for all steps at once, before or after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from compiler.passes.batching import Steps, has_rule, over_all_steps
from symgraph.graph import Graph, Node
from symgraph.loops import Loop, substitute, transform_loops
from symgraph.op import Kind
from symgraph.symbol import input, made_for

MAKER = "move_out_of_loops"
# What gains by running once over all steps: it has more rows to share its operands, or to add up at once.
HEAVY = (Kind.CONTRACTION, Kind.REDUCTION, Kind.GATHER)


def move_out_of_loops(graph: Graph) -> Graph:
    """In scan(f; c, x, p), for g heavy (a product, a reduction, a lookup) and what follows from it alone,

        c_t+1 = f(c_t, g(x_t, p))   ->   z = g(x, p) of all rows,   c_t+1 = f(c_t, z_t)
        y_t = g(h_t, p)             ->   h = the stack of h_t,      y = g(h, p), where no carry depends on y_t
        c_t+1 = f(c_t, g(p))        ->   q = g(p),                  c_t+1 = f(c_t, q)
    """
    return transform_loops(graph, lambda loop: _Moving(loop).results(), MAKER)


class _Moving:
    def __init__(self, loop: Loop):
        self.loop, self.body, self.order = loop, loop.body, loop.body.nodes
        inputs, first = loop.body.inputs, loop.first_captured
        self.waiting = _reached(self.order, inputs[: loop.carries])
        drawn = [n for n in self.order if n.op.kind is Kind.RANDOM]
        self.varying = _reached(self.order, [*inputs[:first], *drawn])
        self.rows = set(inputs[loop.carries : first])
        self.needed = _needed(self.order, loop.body.outputs[: loop.carries])
        self.early = self._early()
        self.fixed = self._fixed()
        self.late = self._late()
        self.outside: dict[Node, Steps] = {n: Steps(o, False) for n, o in self._given(first, len(inputs))}
        self.outside.update({n: Steps(o, True) for n, o in self._given(loop.carries, first)})

    def _given(self, first: int, last: int) -> Iterable[tuple[Node, Node]]:
        return zip(self.body.inputs[first:last], self.loop.operands[first:last], strict=True)

    def _movable(self, node: Node) -> bool:
        return has_rule(node, [i in self.varying for i in node.inputs])

    def _early(self) -> set[Node]:
        """Heavy work on rows alone, what it needs, and what follows from it and rows."""
        able: set[Node] = set()
        for node in self.order:
            rows = node in self.varying and node not in self.waiting and bool(node.inputs)
            if rows and self._movable(node) and all(self._is_row(i) or i in able for i in node.inputs):
                able.add(node)
        heavy = [n for n in self.order if n in able and n.op.kind in HEAVY]
        after = {n for n in _reached(self.order, heavy) if n in able}
        before = _needed(self.order, after)
        return {n for n in before if n in able}

    def _is_row(self, node: Node) -> bool:
        return node not in self.varying or node in self.body.inputs

    def _fixed(self) -> set[Node]:
        """Work that is equal in all steps; layout and numbers cost nothing where they are."""
        free = (Kind.LAYOUT, Kind.SOURCE)
        given = _reached(self.order, self.body.inputs[self.loop.first_captured :])
        return {n for n in self.order if n in given and n not in self.varying and n.op.kind not in free}

    def _late(self) -> set[Node]:
        """Heavy work that no carry waits for, what follows from it, and what only it reads."""
        free = [n for n in self.order if n not in self.needed and n not in self.early and n in self.varying]
        stay: set[Node] = set()
        while True:
            late = self._following(free, stay)
            stuck = [n for n in free if n not in late and any(i in late for i in n.inputs)]
            if not stuck:
                return self._with_what_only_they_read(free, late)
            stay |= _needed(self.order, stuck)

    def _following(self, free: Sequence[Node], stay: set[Node]) -> set[Node]:
        found: set[Node] = set()
        for node in free:
            begins = node.op.kind in HEAVY or any(i in found for i in node.inputs)
            if begins and node not in stay and self._movable(node):
                found.add(node)
        return found

    def _with_what_only_they_read(self, free: Sequence[Node], late: set[Node]) -> set[Node]:
        """Elementwise work joins, as long as no more values are kept for it than the one it makes."""
        users = self.body.users()
        outputs = set(self.body.outputs)
        kept = {i for n in late for i in self._varying_behind(n, late)} | outputs
        for node in reversed(free):
            alone = node not in outputs and users[node] and all(u in late for u in users[node])
            if node in late or not alone or not self._movable(node):
                continue
            more = [i for i in self._varying_behind(node, late) if i not in kept]
            if node.op.kind in (Kind.ELEMENTWISE, Kind.LAYOUT) and len(more) <= 1:
                late.add(node)
                kept.update(more)
        return late

    def _varying_behind(self, node: Node, late: set[Node]) -> list[Node]:
        """What a node reads that differs from step to step and is no row, seen through layout."""
        found: dict[Node, None] = {}
        pending = list(node.inputs)
        while pending:
            top = pending.pop()
            if top in late or top in self.early or top not in self.varying or top in self.rows:
                continue
            if top.op.kind is Kind.LAYOUT and self._movable(top):
                pending.extend(top.inputs)
            else:
                found[top] = None
        return list(found)

    # the new loop

    def results(self) -> Mapping[Node, Node]:
        if not (self.early or self.late or self.fixed):
            return self.loop.results_like(self.loop, {n: n for n in self.loop.stacks}, MAKER)
        for node in self.order:
            if node in self.fixed or node in self.early:
                self._move(node)
        new, moved = self._shorter()
        for node in self.order:
            if node in self.late:
                for operand in node.inputs:
                    self._find(operand, new, moved)
                self._move(node)
        return {node: self._answer(node, new, moved) for node in self.loop.results}

    def _move(self, node: Node) -> None:
        """Compute a body's node outside, where its operands are."""
        for operand in node.inputs:
            self._outside(operand)
        operands = [self.outside[i] for i in node.inputs]
        with made_for(node, MAKER):
            if any(o.stacked for o in operands):
                made = over_all_steps(node, operands, self.loop.length)
            else:
                instead = {i: o.node for i, o in zip(node.inputs, operands, strict=True)}
                (made,) = substitute([node], instead, MAKER)
        self.outside[node] = Steps(made, any(o.stacked for o in operands))

    def _outside(self, node: Node) -> None:
        """Layout and numbers on the way are written again outside."""
        pending = [node]
        while pending:
            top = pending[-1]
            missing = [i for i in top.inputs if i not in self.outside] if top not in self.outside else []
            if missing:
                pending += missing
                continue
            pending.pop()
            if top not in self.outside:
                if top.inputs:
                    self._move(top)
                else:
                    self.outside[top] = Steps(top, False)

    def _shorter(self) -> tuple[Loop, dict[Node, Node]]:
        """The loop without what was moved, keeping what is read after it; and what became of its nodes."""
        loop = self.loop
        gone = self.early | self.late
        read = {i for n in self.order if n not in gone and n not in self.fixed for i in n.inputs}
        behind = [i for n in self.order if n in self.late for i in self._varying_behind(n, self.late)]
        read |= {*self.body.outputs[: loop.carries], *behind}
        read |= {n for n in loop.stacks if n in self.fixed}
        rows = [n for n in self.order if n in self.early and n in read]
        values = [n for n in self.order if n in self.fixed and n in read]
        inner = {n: input(n.name, n.type.shape, n.type.dtype).node for n in (*rows, *values)}
        kept = [n for n in loop.stacks if n not in gone]
        kept = list(dict.fromkeys([*kept, *behind]))
        made = substitute([*self.body.outputs[: loop.carries], *kept], inner, MAKER)
        first = loop.first_captured
        old_in, old_out = self.body.inputs, loop.operands
        new = replace(
            loop,
            body=Graph(
                inputs=(*old_in[:first], *(inner[n] for n in rows), *old_in[first:],
                        *(inner[n] for n in values)),
                outputs=tuple(made),
            ),
            sequences=loop.sequences + len(rows),
            operands=(*old_out[:first], *(self.outside[n].node for n in rows), *old_out[first:],
                      *(self.outside[n].node for n in values)),
        )  # fmt: skip
        moved = dict(zip(kept, made[loop.carries :], strict=True))
        return new.with_stacks(new.stacks), moved

    def _find(self, operand: Node, new: Loop, moved: Mapping[Node, Node]) -> None:
        """The stack of what a late node reads, from the loop."""
        pending = [operand]
        while pending:
            top = pending.pop()
            if top in self.outside:
                continue
            if top in moved:
                result = new.node(("stack", new.stacks.index(moved[top])), self.loop.results[0], MAKER)
                self.outside[top] = Steps(result, True)
            else:
                pending.extend(top.inputs)

    def _answer(self, node: Node, new: Loop, moved: Mapping[Node, Node]) -> Node:
        kind, number = node.attrs["result"]
        source = self.loop.source(node)
        if kind != "stack":
            return new.node((kind, number), node, MAKER)
        if source in moved:
            return new.node(("stack", new.stacks.index(moved[source])), node, MAKER)
        return self.outside[source].node


def _reached(order: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """The sources and what depends on them."""
    found = set(sources)
    for node in order:
        if any(i in found for i in node.inputs):
            found.add(node)
    return found


def _needed(order: tuple[Node, ...], results: Iterable[Node]) -> set[Node]:
    """The results and what they depend on."""
    found = set(results)
    for node in reversed(order):
        if node in found:
            found.update(node.inputs)
    return found
