"""Schedules: kernels rewritten so that they compute the same with other loops.

Each function takes a kernel and the index of one of its loops, checks that the change is legal and raises
CompileError with the reason where it is not. Results are bitwise the same, except that `vectorize` makes
partial results of a reduction.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.loop.grammar import Const, Expr, For, Index, Kernel, Local, Mode, binary, index
from compiler.loop.rewrite import find_loop, replace_loop, substitute_all
from compiler.loop.walk import postorder, statements
from compiler.schedule.dependence import conflict
from symgraph.errors import CompileError

MOST_COPIES = 64  # of an unrolled body: code beyond it is slower to compile and no faster to run


def split(kernel: Kernel, name: str, size: int, *, outer: str, inner: str) -> Kernel:
    """`for i` becomes `for outer by size: for inner in size`, with i = outer + inner.

    The inner loop is cut short where the size does not divide the extent, or that is not known.
    """
    if size < 1:
        raise CompileError(f"split of {name} by {size}; expected a positive size")
    _require_fresh(kernel, outer, inner)

    def change(loop: For) -> tuple[For]:
        if loop.mode != "serial":
            raise CompileError(f"split of {name}: the loop is already {loop.mode}; split it before")
        far = size * loop.step
        whole = _is_multiple(loop.start, loop.stop, far)
        stop = index(far) if whole else binary("minimum", index(far), loop.stop - Index(outer))
        body = substitute_all(loop.body, {name: Index(outer) + Index(inner)})
        return (For(outer, loop.start, loop.stop, (For(inner, index(0), stop, body, loop.step),), far),)

    return replace_loop(kernel, name, change)


def tile(kernel: Kernel, names: tuple[str, str], sizes: tuple[int, int]) -> Kernel:
    """Two nested loops i, j become i_outer, j_outer, i_inner, j_inner."""
    for name, size in zip(names, sizes, strict=True):
        kernel = split(kernel, name, size, outer=f"{name}_outer", inner=f"{name}_inner")
    return reorder(kernel, f"{names[0]}_inner", f"{names[1]}_outer")


def reorder(kernel: Kernel, outer: str, inner: str) -> Kernel:
    """Exchanges two loops, one directly inside the other and alone there.

    Legal where the bounds of the inner loop do not use the outer index, and the iterations of one of the two
    are independent: then each of its iterations still sees the other's in their order.
    """

    def change(loop: For) -> tuple[For]:
        nested = loop.body[0] if len(loop.body) == 1 else None
        if not isinstance(nested, For) or nested.index != inner:
            raise CompileError(f"reorder of {outer} and {inner}: {inner} is not alone inside {outer}")
        if outer in _names(nested.start) | _names(nested.stop):
            raise CompileError(f"reorder of {outer} and {inner}: the bounds of {inner} depend on {outer}")
        reason = conflict(loop)
        if reason and conflict(nested, frozenset({outer})):
            raise CompileError(f"reorder of {outer} and {inner}: {reason}")
        return (replace(nested, body=(replace(loop, body=nested.body),)),)

    return replace_loop(kernel, outer, change)


def vectorize(kernel: Kernel, name: str) -> Kernel:
    """Runs the iterations as SIMD lanes. They must be independent, but for reductions."""
    loop, around = find_loop(kernel, name)
    inside = [s for s in statements(loop.body) if isinstance(s, For)]
    for other in (*inside, *around):
        if isinstance(other, For) and other.mode == "vector":
            raise CompileError(f"vectorize of {name}: {other.index} around or inside it already is vector")
    for other in inside:
        if name in _names(other.start) | _names(other.stop):
            raise CompileError(f"vectorize of {name}: the bounds of {other.index} differ from lane to lane")
    reason = conflict(loop, reductions=True)
    if reason:
        raise CompileError(f"vectorize of {name}: {reason}")
    return _with_mode(kernel, name, "vector")


def parallelize(kernel: Kernel, name: str) -> Kernel:
    """Splits the iterations among threads: the one outermost loop, with independent iterations."""
    loop, _ = find_loop(kernel, name)
    if kernel.body != (loop,):
        raise CompileError(f"parallelize of {name}: the loop is not the one outermost statement")
    reason = conflict(loop)
    if reason:
        raise CompileError(f"parallelize of {name}: {reason}")
    return _with_mode(kernel, name, "parallel")


def unroll(kernel: Kernel, name: str) -> Kernel:
    """Repeats the body with the index a constant. Bounds must be static."""
    loop, _ = find_loop(kernel, name)
    if not (isinstance(loop.start, Const) and isinstance(loop.stop, Const)):
        raise CompileError(f"unroll of {name}: its bounds are not static")
    copies = len(range(int(loop.start.value), int(loop.stop.value), loop.step))
    if copies > MOST_COPIES:
        raise CompileError(f"unroll of {name}: {copies} copies, at most {MOST_COPIES}; split it first")
    return _with_mode(kernel, name, "unroll")


def _with_mode(kernel: Kernel, name: str, mode: Mode) -> Kernel:
    loop, _ = find_loop(kernel, name)
    if loop.mode != "serial":
        raise CompileError(f"loop {name} is already {loop.mode}; expected a serial one")
    return replace_loop(kernel, name, lambda old: (replace(old, mode=mode),))


def _require_fresh(kernel: Kernel, *names: str) -> None:
    taken = {s.index for s in statements(kernel.body) if isinstance(s, For)} | set(kernel.extents)
    for name in names:
        if name in taken:
            raise CompileError(f"name {name} is already used in kernel {kernel.name}; choose another")


def _is_multiple(start: Expr, stop: Expr, size: int) -> bool:
    if not (isinstance(start, Const) and isinstance(stop, Const)):
        return False
    return (int(stop.value) - int(start.value)) % size == 0


def _names(expr: Expr) -> set[str]:
    return {part.name for part in postorder([expr]) if isinstance(part, (Index, Local))}
