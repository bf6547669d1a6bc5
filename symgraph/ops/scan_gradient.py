"""The gradient of a loop: a loop in the other direction, over what the steps left behind.

With carry c, row x_t, captured p and step (c_t+1, y_t) = f(c_t, x_t, p), the adjoints run backward:

    (dc_t, dx_t, dp_t) = f'(c_t, x_t, p)^T (dc_t+1, dy_t),    dp = sum over t of dp_t

dp_t is stacked and summed after the loop, so that passes find a product over all steps in it. The steps leave
behind, stacked, what f' reads of them; what is cheap to compute again from that is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from symgraph.chain_rule import gradients_of, reaching
from symgraph.graph import Graph, Node, topological
from symgraph.loops import SCAN, Loop, substitute
from symgraph.op import Kind, Op
from symgraph.ops.arithmetic import add
from symgraph.ops.casting import zeros_like
from symgraph.ops.reduce import sum_
from symgraph.symbol import Symbol, input
from symgraph.types import FLOATS, TensorType
from symgraph.value import Value

MAKER = "derive_gradients"
COSTLY = frozenset({
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "pow", "sqrt", "rsqrt", "divide",
    "floor_divide",
})  # fmt: skip


def scan_vjp(
    loop: Loop, operands: Sequence[Value], given: Mapping[Node, Value], useful: Sequence[bool]
) -> list[Value | None]:
    """A gradient for each useful operand, from those of the loop's results."""
    return _Backward(loop, operands, given, useful).gradients()


SCAN.vjp = scan_vjp


class _Backward:
    def __init__(
        self, loop: Loop, operands: Sequence[Value], given: Mapping[Node, Value], useful: Sequence[bool]
    ):
        self.loop, self.body = loop, loop.body
        self.operands = [Symbol.enter(o) for o in operands]
        self.last, self.stacked = self._by_source(given)
        self.active = self._active([i for i, u in enumerate(useful) if u])
        self.carries = [i for i in self.active if i < loop.carries]
        self.others = [i for i in self.active if i >= loop.carries]

    def _by_source(self, given: Mapping[Node, Value]) -> tuple[dict[int, Value], dict[Node, Value]]:
        """Gradients of last carries by number, and of stacks by the body's node that was stacked."""
        last: dict[int, Value] = {}
        stacked: dict[Node, Value] = {}
        for node, gradient in given.items():
            kind, number = node.attrs["result"]
            assert kind != "history", "gradients are derived before loops are given histories"
            if kind == "last":
                last[number] = last[number] + gradient if number in last else gradient
            else:
                source = self.loop.source(node)
                stacked[source] = stacked[source] + gradient if source in stacked else gradient
        return last, stacked

    def _active(self, useful: list[int]) -> list[int]:
        """Operands with a gradient to find: those asked for, and carries that depend on them."""
        body, active = self.body, [i for i in useful if self.body.inputs[i].type.dtype in FLOATS]
        new = body.outputs[: self.loop.carries]
        while True:
            path = reaching(body.outputs, [body.inputs[i] for i in active])
            more = [k for k, node in enumerate(new) if node in path and k not in active]
            if not more:
                return sorted(active)
            active += more

    def gradients(self) -> list[Value | None]:
        adjoints = {k: _row(self.body.inputs[k].type, f"adjoint.{k}") for k in self.carries}
        floats = [n for n in self.stacked if n.type.dtype in FLOATS]
        rows = {n: _row(n.type, f"gradient.{i}") for i, n in enumerate(floats)}
        found = self._step_back(adjoints, rows)
        parts = [found.get(self.body.inputs[i]) for i in self.others]
        news = [found.get(self.body.inputs[k]) for k in self.carries]
        results = [_node(zeros_like(adjoints[k]) if n is None else n)
                   for k, n in zip(self.carries, news, strict=True)]  # fmt: skip
        results += [_node(p) for p in parts if p is not None]
        backward = self._loop(results, adjoints, rows)
        return self._answers(backward, [i for i, p in zip(self.others, parts, strict=True) if p is not None])

    def _step_back(self, adjoints: dict[int, Symbol], rows: dict[Node, Symbol]) -> dict[Node, Value]:
        """The chain rule through one step."""
        seeds: dict[Node, Value] = dict(rows)
        for k, adjoint in adjoints.items():
            new = self.body.outputs[k]
            seeds[new] = add(seeds[new], adjoint) if new in seeds else adjoint
        wanted = [self.body.inputs[i] for i in self.active]
        return gradients_of(seeds, wanted, {n: Symbol(n) for n in self.body.nodes})

    def _loop(self, results: list[Node], adjoints: dict[int, Symbol], rows: dict[Node, Symbol]) -> Loop:
        """The backward loop: carries are adjoints, sequences gradients of stacks and what was left behind."""
        loop, place = self.loop, {n: i for i, n in enumerate(self.body.inputs)}
        inside = set(self.body.nodes)
        kept = _kept(results, inside, set(self.body.inputs))
        left = [n for n in kept if place.get(n, 0) < loop.carries]
        forward = loop.with_stacks([*loop.stacks, *left])
        saved = dict(zip(forward.stacks, range(len(forward.stacks)), strict=True))
        model = loop.results[0]
        instead = {n: _row(n.type, n.name).node for n in kept}
        sequences: list[tuple[Node, Node]] = [
            (row.node, _node(self.stacked[n])) for n, row in rows.items()
        ]  # fmt: skip
        captured: list[tuple[Node, Node]] = []
        for node in kept:
            number = place.get(node, 0)
            if number >= loop.first_captured:
                captured.append((instead[node], loop.operands[number]))
            elif number >= loop.carries:
                sequences.append((instead[node], loop.operands[number]))
            else:
                sequences.append((instead[node], forward.node(("stack", saved[node]), model, MAKER)))
        starts = [(adjoints[k].node, self._start(k)) for k in self.carries]
        pairs = [*starts, *sequences, *captured]
        body = Graph(
            inputs=tuple(inner for inner, _ in pairs), outputs=tuple(substitute(results, instead, MAKER))
        )
        return Loop(
            body=body, carries=len(starts), sequences=len(sequences), length=loop.length,
            reverse=not loop.reverse, operands=tuple(outer for _, outer in pairs), results=loop.results,
        )  # fmt: skip

    def _start(self, k: int) -> Node:
        """The adjoint of a carry after the last step."""
        return _node(self.last[k] if k in self.last else zeros_like(self.operands[k]))

    def _answers(self, backward: Loop, stacks: list[int]) -> list[Value | None]:
        answers: list[Value | None] = [None] * len(self.loop.operands)
        model = self.loop.results[0]
        for number, k in enumerate(self.carries):
            answers[k] = Symbol(backward.node(("last", number), model, MAKER))
        for number, i in enumerate(stacks):
            value = Symbol(backward.node(("stack", number), model, MAKER))
            answers[i] = sum_(value, 0) if i >= self.loop.first_captured else value
        return answers


def _kept(results: Sequence[Node], inside: set[Node], inputs: set[Node]) -> list[Node]:
    """The forward step's values that the backward step is given: all it needs, but for what is cheap to make
    again from the others."""
    needed = [n for n in topological(results) if n in inside]
    read = {i for n in topological(results, stop=inside) for i in n.inputs} | set(results)
    kept = {n for n in needed if n in read and not _is_cheap(n)}
    able: dict[Node, bool] = {}
    for node in needed:
        able[node] = node in kept or node in inputs or (_is_cheap(node) and all(able[i] for i in node.inputs))
    kept |= {n for n in needed if n in read and not able[n]}
    kept |= {n for n in topological([n for n in needed if n in read], stop=kept) if n in inputs}
    return [n for n in needed if n in kept]


def _is_cheap(node: Node) -> bool:
    """Whether computing it again costs less than keeping it."""
    if node.op.kind in (Kind.LAYOUT, Kind.RANDOM) or node.op.name in ("constant", "extent"):
        return True
    return node.op.kind is Kind.ELEMENTWISE and not (_functions_of(node.op) & COSTLY)


@cache
def _functions_of(op: Op) -> frozenset[str]:
    """Names of what an elementwise op's formula calls besides operators."""
    probe = _Probe()
    probe.trace(op)
    return frozenset(probe.called)


class _Probe:
    """Stands for the scalar language and for every scalar in it."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def trace(self, op: Op) -> None:
        """Formulas do not look at values, so any do; an attribute's value does not change what is called."""
        names = op.body.__code__
        count = names.co_argcount - 1
        attrs = dict.fromkeys(names.co_varnames[names.co_argcount :][: names.co_kwonlyargcount], 1.0)
        op.body(self, *[self] * count, **attrs)

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return lambda *_: self

    def _same(self, *_: Any) -> Any:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _same
    __and__ = __or__ = __xor__ = __lt__ = __le__ = __gt__ = __ge__ = _same

    def __truediv__(self, _: Any) -> Any:
        self.called.add("divide")
        return self

    __rtruediv__ = __truediv__


def _row(kind: TensorType, name: str) -> Symbol:
    return input(name, kind.shape, kind.dtype)


def _node(value: Value) -> Node:
    assert isinstance(value, Symbol)
    return value.node
