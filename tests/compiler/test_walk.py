"""Walking expressions: order, sharing, rebuilding, dtypes."""

import pytest

from compiler.loop.grammar import (
    Accumulate,
    Alloc,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Let,
    Load,
    Local,
    Store,
    Unary,
    call,
    constant,
    select,
)
from compiler.loop.walk import (
    dtype_of,
    expressions,
    operands,
    postorder,
    statements,
    with_expressions,
    with_operands,
)
from symgraph.types import float32, float64, int64

X = Buffer("x", float32, (4,))
i = Index("i")
a, wide = Local("a", float32), Local("wide", float64)
EXPRESSIONS: list[Expr] = [
    a, i, constant(2, int64), Load(X, (i + 1,)), a + 1.0, a < 2.0, -a, ~(a < 2.0), select(a < 0.0, wide, 1.0),
    Cast(i, float64), call("fma", a, a, 1.0), Unary("bits_as_int", a), Unary("bits_as_int", wide) >> 3,
    Unary("bits_as_float", Unary("bits_as_int", wide) << 1) * 2.0,
    Unary("bits_as_int", Unary("bits_as_float", Unary("bits_as_int", a))),
]  # fmt: skip


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=repr)
def test_dtype_and_rebuilding(expr):
    assert dtype_of(expr) == expr.dtype
    parts = operands(expr)
    assert with_operands(expr, parts) is expr
    if parts:
        changed = with_operands(expr, tuple(-part for part in parts))
        assert operands(changed) == tuple(-part for part in parts)
        assert type(changed) is type(expr)


def test_postorder_visits_each_object_once_operands_first():
    shared = a + 1.0
    root = shared * shared + Load(X, (i,))
    order = list(postorder((root, shared)))
    assert len({id(e) for e in order}) == len(order)
    assert order[-1] is root
    assert [e for e in order if e is shared] == [shared]
    for position, expr in enumerate(order):
        assert all(any(x is before for before in order[:position]) for x in operands(expr))


def test_statements_and_their_expressions():
    store = Store(X, (i,), a)
    inside = (Let("a", Load(X, (i,))), If(a < 1.0, (store,)), Accumulate(X, (i,), a), Alloc(X))
    loop = For("i", Const(0, int64), Const(4, int64), inside)
    everything = [loop, inside[0], inside[1], store, inside[2], inside[3]]
    assert list(statements((loop,))) == everything
    for statement in everything:
        assert with_expressions(statement, expressions(statement)) == statement
    assert with_expressions(store, (i + 1, -a)) == Store(X, (i + 1,), -a)
