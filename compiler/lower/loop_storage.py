"""Where the values of a loop live: rows of sequences and results, and for each carry two places in turn.

A carry whose history is kept is read from one row of it and written to the next; another lives in two places,
read and written in turn, of which the one that the last step writes is the result's own. So nothing is copied
from step to step.
"""

from __future__ import annotations

from compiler.lower.access import Home, Memory, Row, Scratch
from compiler.views import rows_of
from symgraph.errors import CompileError
from symgraph.graph import Node
from symgraph.loops import Loop


class Storage:
    """`inside`: homes of the body's inputs and outputs; `before`: of the first values of carries."""

    def __init__(self, loop: Loop, number: int, around: int | None, home: Home):
        self.loop, self.number, self.around, self.home = loop, number, around, home
        self.results = {node.attrs["result"]: node for node in loop.results}
        first = loop.first_captured
        captured = zip(loop.body.inputs[first:], loop.operands[first:], strict=True)
        self.inside: dict[Node, Memory] = {inner: home(outer) for inner, outer in captured}
        self.before: dict[Node, Memory] = {}
        for k in range(loop.carries):
            self._carry(k)
        for place in range(loop.carries, loop.first_captured):
            self._sequence(loop.body.inputs[place], loop.operands[place])
        for node in loop.results:
            if node.attrs["result"][0] == "stack":
                source = loop.source(node)
                self.inside[source] = Row((home(node),), 0, source.type.bytes, number, source.type.bytes)

    def _carry(self, k: int) -> None:
        if ("history", k) in self.results:
            self._in_history(k)
        else:
            self._in_turn(k)

    def _in_history(self, k: int) -> None:
        """Row t is the carry before step t; in a reversed loop row t + 1 is."""
        loop, node = self.loop, self.loop.body.inputs[k]
        if ("last", k) in self.results:
            raise CompileError(f"the last value of {node.name} is part of its history, which is kept")
        base, size = (self.home(self.results["history", k]),), node.type.bytes
        old, new = (size, 0) if loop.reverse else (0, size)
        self.inside[node] = Row(base, old, size, self.number, size)
        self.inside[loop.body.outputs[k]] = Row(base, new, size, self.number, size)
        first = loop.length * size if loop.reverse else 0
        self.before[loop.operands[k]] = Row(base, first, 0, self.around, size)

    def _in_turn(self, k: int) -> None:
        """Step i of T writes place T - 1 - i mod 2 and reads the other; so the last one writes place 0."""
        loop, node = self.loop, self.loop.body.inputs[k]
        last = self.results.get(("last", k))
        size = node.type.bytes
        own = Scratch(node.type.shape, node.type.dtype)
        places = (own if last is None else self.home(last), Scratch(node.type.shape, node.type.dtype))
        old, new = (1, 0) if loop.reverse else (loop.length, loop.length + 1)
        self.inside[node] = Row(places, old, 1, self.number, size)
        self.inside[loop.body.outputs[k]] = Row(places, new, 1, self.number, size)
        self.before[loop.operands[k]] = Row(places, loop.length, 0, self.around, size)

    def _sequence(self, node: Node, operand: Node) -> None:
        rows = rows_of(operand)
        if rows is None:
            raise CompileError(f"the rows of {operand!r} do not lie one after another")
        size = node.type.bytes
        offset = rows.offset * node.type.dtype.itemsize
        self.inside[node] = Row((self.home(rows.source),), offset, size, self.number, size)
