"""Extents of axes: plain ints, or polynomials in named dimensions such as "batch".

Sums and products of extents stay exact, so shapes, offsets and sizes of a graph with named
dimensions are known as formulas when it is built and as numbers when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Monomial = tuple[str, ...]


class Dim:
    """A polynomial with integer coefficients in named dimensions, with at least one name in it.

    Immutable and hashable; equality is equality of polynomials. Arithmetic returns an `int`
    as soon as no name is left, so `type(extent) is int` tells static extents from named ones.
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]):
        self.terms: tuple[tuple[Monomial, int], ...] = tuple(sorted(terms.items()))
        self._hash = hash(self.terms)

    @staticmethod
    def named(name: str) -> Dim:
        return Dim({(name,): 1})

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions it depends on, each once, in the order they first appear."""
        return tuple(dict.fromkeys(name for monomial, _ in self.terms for name in monomial))

    def __add__(self, other: Extent) -> Extent:
        total = dict(self.terms)
        for monomial, factor in _terms(other):
            total[monomial] = total.get(monomial, 0) + factor
        return _simplest(total)

    __radd__ = __add__

    def __neg__(self) -> Extent:
        return _simplest({monomial: -factor for monomial, factor in self.terms})

    def __sub__(self, other: Extent) -> Extent:
        return self + -other

    def __rsub__(self, other: Extent) -> Extent:
        return -self + other

    def __mul__(self, other: Extent) -> Extent:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = tuple(sorted(left + right))
                total[monomial] = total.get(monomial, 0) + a * b
        return _simplest(total)

    __rmul__ = __mul__

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        total = 0
        for monomial, factor in self.terms:
            for name in monomial:
                factor *= sizes[name]
            total += factor
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Dim], tuple[dict[Monomial, int]]]:
        return Dim, (dict(self.terms),)  # the hash of a str differs between processes

    def __repr__(self) -> str:
        """`batch-1`, `8*batch`: a number alone, which sorts first, is written last."""
        terms = sorted(self.terms, key=lambda term: not term[0])
        return "+".join(_monomial_text(*term) for term in terms).replace("+-", "-")

    def __index__(self) -> int:
        raise TypeError(
            f"dimension {self} has no size while the graph is built; it gets one at each call"
        )

    __int__ = __bool__ = __index__


Extent = int | Dim
Shape = tuple[Extent, ...]


def evaluate(extent: Extent, sizes: Mapping[str, int]) -> int:
    """The number an extent stands for, given the sizes of the named dimensions."""
    return extent if isinstance(extent, int) else extent.evaluate(sizes)


def product(extents: Iterable[Extent]) -> Extent:
    result: Extent = 1
    for extent in extents:
        result = result * extent
    return result


def divide(numerator: Extent, denominator: Extent) -> Extent | None:
    """The exact quotient as an extent, or None where division leaves a remainder.

    Polynomial long division with one divisor, on the lexicographically leading term.
    """
    if denominator == 0:
        return None
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator if numerator % denominator == 0 else None
    quotient: Extent = 0
    rest = numerator
    lead, lead_factor = max(_terms(denominator), key=lambda term: (len(term[0]), term[0]))
    while rest != 0:
        monomial, factor = max(_terms(rest), key=lambda term: (len(term[0]), term[0]))
        left = _without(monomial, lead)
        if left is None or factor % lead_factor:
            return None
        step = _simplest({left: factor // lead_factor})
        quotient = quotient + step
        rest = rest - step * denominator
    return quotient


def floor_divide(numerator: Extent, denominator: int) -> Extent | None:
    """numerator // denominator as an extent, or None where that is no polynomial.

    It is one where the denominator divides every term with a name in it.
    """
    if any(monomial and factor % denominator for monomial, factor in _terms(numerator)):
        return None
    return _simplest({monomial: factor // denominator for monomial, factor in _terms(numerator)})


def at_least(larger: Extent, smaller: Extent) -> bool:
    """Whether `larger >= smaller` holds for every size (named dimensions are >= 0)."""
    return all(factor >= 0 for _, factor in _terms(larger - smaller))


def is_positive(extent: Extent) -> bool:
    """Whether `extent >= 1` holds whenever every named dimension is at least 1."""
    if isinstance(extent, int):
        return extent >= 1
    grows = all(factor >= 0 for monomial, factor in extent.terms if monomial)
    return grows and extent.evaluate(dict.fromkeys(extent.names, 1)) >= 1


def typical(extent: Extent) -> int:
    """A number to compare sizes by: named dimensions taken as 64."""
    return extent if isinstance(extent, int) else extent.evaluate(dict.fromkeys(extent.names, 64))


def names_of(extents: Iterable[Extent]) -> tuple[str, ...]:
    """Named dimensions in order of first appearance."""
    return tuple(dict.fromkeys(n for e in extents if isinstance(e, Dim) for n in e.names))


def _terms(extent: Extent) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(extent, Dim):
        return extent.terms
    return (((), extent),)


def _simplest(terms: Mapping[Monomial, int]) -> Extent:
    kept = {monomial: factor for monomial, factor in terms.items() if factor}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Dim(kept)


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(monomial)
    for name in divisor:
        if name not in left:
            return None
        left.remove(name)
    return tuple(left)


def _monomial_text(monomial: Monomial, factor: int) -> str:
    name = "*".join(monomial)
    if not name:
        return str(factor)
    return name if factor == 1 else f"-{name}" if factor == -1 else f"{factor}*{name}"
