"""The canonical text of a kernel: equal kernels have equal text, different ones different text.

    kernel scale(x: f32[batch, 64], y: f32[batch, 64]; batch):
      for i in 0..batch parallel:
        for j in 0..64 vector:
          y[i, j] = x[i, j] * 2.0

A constant shows its dtype unless that is f32 (`2.0`), int64 (`2`) or bool (`true`). A long sub-expression
that a statement uses twice, and any very long one, gets a line of its own (`$0 = ...`) before it. So text
is linear in the number of distinct sub-expressions, however they are shared, and its lines stay short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.loop.grammar import (
    COMPARISON,
    Alloc,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Statement,
    Store,
    Unary,
)
from compiler.loop.walk import expressions, operands, postorder, statements
from symgraph.types import FLOATS, SHORT_NAMES, DType, bool_, float32, float64, int32, int64

# Symbol and how tightly it binds, in Python's order.
INFIX = {
    "eq": ("==", 1), "ne": ("!=", 1), "lt": ("<", 1), "le": ("<=", 1), "gt": (">", 1), "ge": (">=", 1),
    "or": ("|", 2), "xor": ("^", 3), "and": ("&", 4), "shift_left": ("<<", 5), "shift_right": (">>", 5),
    "add": ("+", 6), "sub": ("-", 6), "mul": ("*", 7), "div": ("/", 7), "mod": ("%", 7),
}  # fmt: skip
PREFIX, ATOM = 8, 9
PREFIXES = {"neg": "-", "not": "~"}
REDUCERS = {"add": "+=", "multiply": "*=", "maximum": "maximum=", "minimum": "minimum="}
CONSTANT_WORDS = ("inf", "nan", "true", "false")
SHARED_LENGTH = 24  # an expression used several times gets a name if its text is longer
INLINE_LENGTH = 120  # one used once gets a name if its text is longer


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of an expression, how tightly its outermost operator binds, its dtype."""

    text: str
    binding: int
    dtype: DType

    def within(self, binding: int) -> str:
        return self.text if self.binding >= binding else f"({self.text})"


def text(kernel: Kernel) -> str:
    """The kernel's canonical form, ending in a newline."""
    return "\n".join(_Printer(kernel).lines(kernel)) + "\n"


class _Printer:
    def __init__(self, kernel: Kernel):
        loops = [s.index for s in statements(kernel.body) if isinstance(s, For)]
        # A local of one of these names is written $name.
        self.taken = frozenset((*CONSTANT_WORDS, *loops, *kernel.extents))
        self.named = 0

    def lines(self, kernel: Kernel) -> Iterator[str]:
        parameters = ", ".join(buffer_text(b) for b in kernel.buffers)
        extents = f"; {', '.join(kernel.extents)}" if kernel.extents else ""
        yield f"kernel {kernel.name}({parameters}{extents}):"
        yield from self.block(kernel.body, "  ")

    def block(self, body: tuple[Statement, ...], indent: str) -> Iterator[str]:
        for statement in body:
            *before, last = self.statement(statement)
            yield from (f"{indent}{line}" for line in before)
            yield f"{indent}{last}"
            if isinstance(statement, (For, If)):
                yield from self.block(statement.body, indent + "  ")

    def statement(self, statement: Statement) -> Iterator[str]:
        """The statement's own line, after those that name parts of it."""
        roots = expressions(statement)
        values = _Values(roots)
        pieces: list[Piece] = []
        for number, expr in enumerate(values.exprs):
            piece = self.piece(expr, [pieces[n] for n in values.operands[number]])
            if values.wants_name(number, piece):
                yield f"${self.named} = {piece.text}"
                piece = Piece(f"${self.named}", ATOM, piece.dtype)
                self.named += 1
            pieces.append(piece)
        yield _statement(statement, [pieces[values.number[id(root)]].text for root in roots])

    def piece(self, expr: Expr, parts: Sequence[Piece]) -> Piece:
        if isinstance(expr, Local):
            name = f"${expr.name}" if expr.name in self.taken else expr.name
            return Piece(name, ATOM, expr.dtype)
        return _piece(expr, parts)


class _Values:
    """The distinct values of some expressions, numbered so that operands come before their users.

    Expressions equal in structure are one value whether or not they are one object.
    """

    def __init__(self, roots: tuple[Expr, ...]):
        self.exprs: list[Expr] = []
        self.operands: list[tuple[int, ...]] = []
        self.uses: list[int] = []
        self.number: dict[int, int] = {}
        known: dict[tuple[str, tuple[int, ...]], int] = {}
        for expr in postorder(roots):
            key = (_label(expr), tuple(self.number[id(x)] for x in operands(expr)))
            if key not in known:
                known[key] = len(self.exprs)
                self._add(expr, key[1])
            self.number[id(expr)] = known[key]
        for root in roots:
            self.uses[self.number[id(root)]] += 1
        self.roots = {self.number[id(root)] for root in roots}

    def _add(self, expr: Expr, parts: tuple[int, ...]) -> None:
        self.exprs.append(expr)
        self.operands.append(parts)
        self.uses.append(0)
        for part in parts:
            self.uses[part] += 1

    def wants_name(self, number: int, piece: Piece) -> bool:
        """Leaves never do: a name would say less."""
        if not self.operands[number]:
            return False
        if self.uses[number] > 1:
            return len(piece.text) > SHARED_LENGTH
        return len(piece.text) > INLINE_LENGTH and number not in self.roots


def _label(expr: Expr) -> str:
    """What tells an expression from others with the same operands."""
    if isinstance(expr, Binary):
        return expr.op
    if isinstance(expr, Const):
        return f"const {_constant(expr)}"
    if isinstance(expr, (Index, Local)):
        return f"{type(expr).__name__} {expr.name}"
    if isinstance(expr, Load):
        return f"load {expr.buffer.name}"
    if isinstance(expr, Unary):
        return expr.op
    if isinstance(expr, Cast):
        return f"cast {expr.dtype}"
    return f"call {expr.function}" if isinstance(expr, Call) else "select"


def _piece(expr: Expr, parts: Sequence[Piece]) -> Piece:
    """The text of an expression around the texts of its operands. Never asks a deep one its dtype."""
    if isinstance(expr, Const):
        literal = _constant(expr)
        return Piece(literal, PREFIX if literal.startswith("-") else ATOM, expr.dtype)
    if isinstance(expr, Index):
        return Piece(expr.name, ATOM, int64)
    if isinstance(expr, Load):
        places = ", ".join(part.text for part in parts)
        return Piece(f"{expr.buffer.name}[{places}]", ATOM, expr.buffer.dtype)
    if isinstance(expr, Binary):
        return _binary(expr.op, *parts)
    if isinstance(expr, Unary):
        return _unary(expr, parts[0])
    if isinstance(expr, Cast):
        return Piece(f"{SHORT_NAMES[expr.dtype]}({parts[0].text})", ATOM, expr.dtype)
    name = expr.function if isinstance(expr, Call) else "select"
    return Piece(f"{name}({', '.join(part.text for part in parts)})", ATOM, parts[-1].dtype)


def _binary(op: str, x: Piece, y: Piece) -> Piece:
    dtype = bool_ if op in COMPARISON else x.dtype
    if op not in INFIX:
        return Piece(f"{op}({x.text}, {y.text})", ATOM, dtype)
    symbol, binding = INFIX[op]
    if op == "div" and dtype not in FLOATS:
        symbol = "//"
    # Operators group to the left; comparisons do not group.
    left = x.within(binding + 1 if op in COMPARISON else binding)
    return Piece(f"{left} {symbol} {y.within(binding + 1)}", binding, dtype)


def _unary(expr: Unary, x: Piece) -> Piece:
    if expr.op in PREFIXES:
        # -(2.0) negates a constant, -2.0 is one.
        inner = f"({x.text})" if isinstance(expr.x, Const) else x.within(ATOM)
        return Piece(PREFIXES[expr.op] + inner, PREFIX, x.dtype)
    reinterpreted = {
        ("bits_as_int", float32): int32, ("bits_as_int", float64): int64,
        ("bits_as_float", int32): float32, ("bits_as_float", int64): float64,
    }  # fmt: skip
    return Piece(f"{expr.op}({x.text})", ATOM, reinterpreted.get((expr.op, x.dtype), x.dtype))


def _constant(expr: Const) -> str:
    """The shortest digits that give the value back."""
    if expr.dtype == bool_:
        return "true" if expr.value else "false"
    if expr.dtype == float32:
        return str(float32.type(expr.value))
    if expr.dtype == float64:
        return f"{float(expr.value)!r}f64"
    return f"{int(expr.value)}{'' if expr.dtype == int64 else 'i32'}"


def _statement(statement: Statement, parts: Sequence[str]) -> str:
    if isinstance(statement, For):
        step = f" step {statement.step}" if statement.step != 1 else ""
        mode = f" {statement.mode}" if statement.mode != "serial" else ""
        return f"for {statement.index} in {_bound(parts[0])}..{_bound(parts[1])}{step}{mode}:"
    if isinstance(statement, If):
        return f"if {parts[0]}:"
    if isinstance(statement, Let):
        return f"let {statement.name} = {parts[0]}"
    if isinstance(statement, Alloc):
        return f"alloc {buffer_text(statement.buffer)}"
    place = f"{statement.buffer.name}[{', '.join(parts[:-1])}]"
    if isinstance(statement, Store):
        return f"{place} = {parts[-1]}" + (" streaming" if statement.streaming else "")
    return f"{place} {REDUCERS[statement.reducer]} {parts[-1]}"


def _bound(bound: str) -> str:
    return f"({bound})" if " " in bound else bound


def buffer_text(buffer: Buffer) -> str:
    """`x: f32[batch, 64]`."""
    return f"{buffer.name}: {SHORT_NAMES[buffer.dtype]}[{', '.join(map(str, buffer.shape))}]"
