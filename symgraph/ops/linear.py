"""Contractions: matmul, and einsum written with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph.dimension import Extent, product
from symgraph.errors import ShapeError
from symgraph.op import Kind, Op
from symgraph.ops.function import NUMERIC, Function, lift_like, require, telling_where
from symgraph.ops.layout import (
    broadcast_to,
    expand_dims,
    matrix_transpose,
    permute_dims,
    reshape,
    squeeze,
)
from symgraph.ops.reduce import sum_
from symgraph.types import TensorType
from symgraph.value import Value, apply, broadcast_shapes, promote
from symgraph.words import counted


def _infer_matmul(x: TensorType, y: TensorType) -> TensorType:
    require("matmul", x.dtype, NUMERIC)
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"matmul: inner dimensions differ, {x} @ {y}")
    return TensorType((*x.shape[:-1], y.shape[-1]), x.dtype)


def _depth(x: TensorType, y: TensorType) -> Extent:
    return y.shape[-2]


MATMUL = Op("matmul", Kind.CONTRACTION, _infer_matmul, evaluate=np.matmul, body=_depth)


def _call_matmul(x: Any, y: Any) -> Value:
    """Matrix product of the last two axes; leading axes broadcast. A vector is a row on the left, a
    column on the right, and its axis is gone from the result."""
    both = (x, y)
    left, right = (lift_like(v, both) for v in promote("matmul", both))
    if left.ndim == 0 or right.ndim == 0:
        raise ShapeError(f"matmul: scalars cannot be multiplied as matrices, {left.type} @ {right.type}")
    drop = []
    if left.ndim == 1:
        left, drop = expand_dims(left, 0), [-2]
    if right.ndim == 1:
        right = expand_dims(right, 1)
        drop = [*drop, -1]
    if left.shape[-1] != right.shape[-2]:
        raise ShapeError(f"matmul: inner dimensions differ, {left.type} @ {right.type}")
    batch = broadcast_shapes("matmul", [left.shape[:-2], right.shape[:-2]])
    left = broadcast_to(left, (*batch, *left.shape[-2:]))
    right = broadcast_to(right, (*batch, *right.shape[-2:]))
    result = apply(MATMUL, (left, right))
    return squeeze(result, drop) if drop else result


matmul = Function(MATMUL, _call_matmul, _call_matmul)


@matmul.vjp
def matmul_vjp(x: Any, y: Any, out: Any, g: Any) -> Any:
    return matmul(g, matrix_transpose(y)), matmul(matrix_transpose(x), g)


@telling_where
def einsum(equation: str, *operands: Any) -> Value:
    """Einstein summation, as numpy's, with explicit or implicit output and no ellipsis.

    Operands are contracted from left to right by batched matrix products. A letter twice in one
    operand takes the diagonal in numpy; here it raises ShapeError.
    """
    terms, output = _parse(equation, len(operands))
    values = [lift_like(v, operands) for v in promote("einsum", operands)]
    _check_sizes(equation, terms, values)
    value, letters = values[0], terms[0]
    for i, (right, right_letters) in enumerate(zip(values[1:], terms[1:], strict=True), start=2):
        later = set(output).union(*terms[i:])
        value, letters = _contract(value, letters, right, right_letters, later)
    value, letters = _sum_out(value, letters, set(output))
    return permute_dims(value, [letters.index(c) for c in output]) if output else value


def _parse(equation: str, count: int) -> tuple[list[str], str]:
    if not isinstance(equation, str):
        raise TypeError(f"einsum: first comes the equation, as in 'ij,jk->ik', not {equation!r}")
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != count:
        raise ShapeError(f"einsum: {equation!r} has {counted(len(terms), 'operand')}, got {count}")
    if not all(c.isalpha() for c in "".join(terms) + output):
        raise ShapeError(f"einsum: {equation!r} may only hold letters, commas and one arrow")
    if not arrow:
        joined = "".join(terms)
        output = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    for term in (*terms, output):
        if len(set(term)) != len(term):
            raise ShapeError(f"einsum: a letter stands twice in {term!r} (diagonals are not supported)")
    if not set(output) <= set("".join(terms)):
        raise ShapeError(f"einsum: the output of {equation!r} has a letter that no operand has")
    return terms, output


def _check_sizes(equation: str, terms: list[str], values: list[Value]) -> None:
    sizes: dict[str, Extent] = {}
    for term, value in zip(terms, values, strict=True):
        if value.ndim != len(term):
            raise ShapeError(f"einsum: {term!r} names {len(term)} axes, the operand is {value.type}")
        for letter, extent in zip(term, value.shape, strict=True):
            if sizes.setdefault(letter, extent) != extent:
                types = " and ".join(str(v.type) for v in values)
                both = f"{letter!r} is both {sizes[letter]} and {extent}"
                raise ShapeError(f"einsum: in {equation!r} of {types} the axis {both}")


def _sum_out(value: Value, letters: str, keep: set[str]) -> tuple[Value, str]:
    gone = [i for i, c in enumerate(letters) if c not in keep]
    return (sum_(value, gone) if gone else value), "".join(c for c in letters if c in keep)


def _contract(
    left: Value, left_letters: str, right: Value, right_letters: str, later: set[str]
) -> tuple[Value, str]:
    left, left_letters = _sum_out(left, left_letters, later | set(right_letters))
    right, right_letters = _sum_out(right, right_letters, later | set(left_letters))
    shared = [c for c in left_letters if c in right_letters]
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    rows = [c for c in left_letters if c not in shared]
    columns = [c for c in right_letters if c not in shared]
    a = _grouped(left, left_letters, batch, rows, inner)
    b = _grouped(right, right_letters, batch, inner, columns)
    sizes = dict(zip(left_letters, left.shape, strict=True))
    sizes.update(zip(right_letters, right.shape, strict=True))
    letters = "".join(batch + rows + columns)
    return reshape(matmul(a, b), tuple(sizes[c] for c in letters)), letters


def _grouped(value: Value, letters: str, *groups: list[str]) -> Value:
    """The axes in the order of `groups`: the first group kept apart, each other merged into one axis."""
    sizes = dict(zip(letters, value.shape, strict=True))
    order = [c for group in groups for c in group]
    moved = permute_dims(value, [letters.index(c) for c in order])
    merged = (product(sizes[c] for c in group) for group in groups[1:])
    return reshape(moved, (*(sizes[c] for c in groups[0]), *merged))
