"""Vector loops: whole vectors first, then masked ones for the remainder.

A load that straddles two lines of the cache takes up to twice the time where it comes from memory, and numpy
aligns large arrays to 16 bytes. So a loop that only reads such an array has whole vectors where they are
aligned in it, and masked ones on either side; but not where lanes are added up, as then an array's address
would decide in which order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compiler.llvm.emit_arithmetic import binary
from compiler.llvm.emit_expression import Expressions
from compiler.llvm.emit_reduction import Place, Reductions, find_places
from compiler.llvm.emit_value import Value, broadcast, integer, iota_text
from compiler.llvm.target import Target
from compiler.loop.grammar import Accumulate, Alloc, Buffer, Cast, Const, For, Index, Load, Store
from compiler.loop.walk import expressions, postorder, statements
from symgraph.dimension import product, typical
from symgraph.types import DType, bool_, float32, float64, int64

STRAIGHT = 8  # vectors of a static loop that are written one after another
COPIES = 4  # partial results of a reduction, which hide the latency of an addition
SMALL, MEDIUM = 32, 100  # operations of a body that is worth COPIES, or half of them
LINE = 64  # bytes of the cache's unit
LARGE = 1 << 20  # bytes of an array along which a loop's vectors are aligned
FLUSH = 16  # unrolled iterations whose sum stays in one level


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for every run of one vector loop: found once, however often it is unrolled.

    `aligned` is the buffer that its vectors are aligned in, if any.
    """

    widest: DType
    places: dict[Place, Buffer]
    copies: int
    aligned: Buffer | None


def plan(loop: For) -> Plan:
    """The element type that lanes are chosen for, the reductions, and how many partial results they have."""
    dtypes = _element_types(loop)
    places = find_places(loop)
    return Plan(
        float64 if float64 in dtypes else int64 if dtypes == {int64} else float32,
        places,
        _copies(loop, len(places)) if places else 1,
        None if places or loop.step != 1 else _longest(loop),
    )


class VectorLoop:
    """One vector loop. Iterations are counted from 0; iteration t has the index start + t*step."""

    def __init__(
        self,
        evaluator: Expressions,
        target: Target,
        loop: For,
        plan: Plan,
        bounds: tuple[Value, Value],
        body: Callable[[str, int], None],
    ) -> None:
        self.evaluator, self.loop, self.body = evaluator, loop, body
        self.writer = evaluator.writer
        self.start, self.stop = bounds
        first, last = self.start.literal, self.stop.literal
        self.count = None if first is None or last is None else len(range(first, last, loop.step))
        self.vector_bytes = evaluator.memory.vector_bytes
        self.lanes = self._choose_lanes(target.lanes(plan.widest))
        single = self.count is not None and self.count <= self.lanes
        self.copies = 1 if single else plan.copies
        self.reductions = Reductions(evaluator.memory, plan.places, self.lanes, self.copies)
        self.aligned = plan.aligned

    def _choose_lanes(self, lanes: int) -> int:
        """A whole register, but no wider than a short static loop."""
        while self.count is not None and lanes // 2 >= max(1, self.count):
            lanes //= 2
        return lanes

    def write(self) -> None:
        evaluate = self.evaluator.evaluate
        places = {place: evaluate(*place[1]) for place in self.reductions.slots}
        self.reductions.begin()
        if self.count is not None and self.count <= STRAIGHT * self.lanes:
            self._straight(0, self.count)
        elif self.aligned is not None and self.lanes * self.aligned.dtype.itemsize == self.vector_bytes:
            self._iterate_aligned(self.aligned)
        else:
            self._iterate()
        self.reductions.finish(places)

    def _straight(self, first: int, last: int) -> None:
        """Iterations `first` to `last`, both known, without a loop."""
        for number, iteration in enumerate(range(first, last, self.lanes)):
            left = min(self.lanes, last - iteration)
            mask = None
            if left < self.lanes:
                mask = "<" + ", ".join(f"i1 {str(n < left).lower()}" for n in range(self.lanes)) + ">"
            self.reductions.copy = number % self.copies
            self._step(str(iteration), mask)

    def _iterate(self) -> None:
        group = self.lanes * self.copies
        count = self._iterations()
        whole = binary(self.writer, "sub", count, binary(self.writer, "mod", count, integer(group)))
        if self.reductions.sums_floats and (self.count is None or self.count > group * FLUSH):
            self.writer.loop("0", whole.scalar, group * FLUSH, lambda t: self._long_sum(t, whole, group))
        else:
            self.writer.loop("0", whole.scalar, group, self._group)
        if self.count is not None:
            self._straight(self.count - self.count % group, self.count)
        elif self.copies == 1:
            some = binary(self.writer, "lt", whole, count)
            with self.writer.when(some.scalar):
                self._remainder(whole.scalar, count)
        else:
            self.reductions.copy = 0
            self.writer.loop(whole.scalar, count.scalar, self.lanes, lambda t: self._remainder(t, count))

    def _iterate_aligned(self, buffer: Buffer) -> None:
        """Whole vectors from the first that is aligned in the buffer; then what is left on either side."""
        writer, count = self.writer, self._iterations()
        head = binary(writer, "minimum", self._until_aligned(buffer), count)
        rest = binary(writer, "sub", count, head)
        whole = binary(writer, "sub", count, binary(writer, "mod", rest, integer(self.lanes)))
        writer.loop(head.scalar, whole.scalar, self.lanes, self._group)

        def side(first: str) -> None:
            before = writer.op(f"icmp eq i64 {first}, 0")
            begin = writer.op(f"select i1 {before}, i64 0, i64 {whole.scalar}")
            end = writer.op(f"select i1 {before}, i64 {head.scalar}, i64 {count.scalar}")
            with writer.when(writer.op(f"icmp slt i64 {begin}, {end}")):
                self._remainder(begin, Value(int64, end))

        writer.loop("0", "2", 1, side)

    def _until_aligned(self, buffer: Buffer) -> Value:
        """How many iterations come before the first whose element begins a vector in memory."""
        writer, size = self.writer, buffer.dtype.itemsize
        pointer = self.evaluator.memory.storages[buffer.name].pointer
        address = Value(int64, writer.op(f"ptrtoint ptr {pointer} to i64"))
        number = binary(writer, "add", binary(writer, "div", address, integer(size)), self.start)
        return binary(writer, "mod", binary(writer, "sub", integer(0), number), integer(self.lanes))

    def _iterations(self) -> Value:
        """How many iterations there are; not negative."""
        distance = binary(self.writer, "sub", self.stop, self.start)
        rounded = binary(self.writer, "add", distance, integer(self.loop.step - 1))
        count = binary(self.writer, "div", rounded, integer(self.loop.step))
        return binary(self.writer, "maximum", count, integer(0))

    def _group(self, iteration: str) -> None:
        for copy in range(self.copies):
            self.reductions.copy = copy
            offset = Value(int64, iteration)
            self._step(binary(self.writer, "add", offset, integer(copy * self.lanes)).scalar, None)

    def _long_sum(self, iteration: str, whole: Value, group: int) -> None:
        end = binary(self.writer, "add", Value(int64, iteration), integer(group * FLUSH))
        stop = binary(self.writer, "minimum", end, whole)
        self.writer.loop(iteration, stop.scalar, group, self._group)
        with self.writer.running(self.lanes, None, True):
            self.reductions.flush()

    def _remainder(self, iteration: str, count: Value) -> None:
        """The lanes that are left, at most all of them."""
        left = binary(self.writer, "sub", count, Value(int64, iteration))
        clipped = binary(self.writer, "minimum", left, integer(self.lanes))
        narrow = self.writer.op(f"trunc i64 {clipped.scalar} to i32")
        with self.writer.running(self.lanes, None, True):
            limit = broadcast(self.writer, narrow, "i32")
            numbers = iota_text(self.lanes, 1, "i32")
            mask = self.writer.op(f"icmp slt <{self.lanes} x i32> {numbers}, {limit}")
        self._step(iteration, mask)

    def _step(self, iteration: str, mask: str | None) -> None:
        scaled = binary(self.writer, "mul", Value(int64, iteration), integer(self.loop.step))
        index = binary(self.writer, "add", self.start, scaled)
        with self.writer.running(self.lanes, mask, True):
            self.body(index.scalar, self.loop.step)


def _copies(loop: For, reductions: int) -> int:
    """Partial results of a reduction: fewer for a large body, which hides latency by itself.

    The size is taken for each reduction, so that rows written together are summed as rows alone are.
    """
    body = list(statements(loop.body))
    if any(isinstance(statement, For) for statement in body):
        return 1
    size = sum(
        not isinstance(part, (Index, Const))
        for statement in body
        for part in postorder(expressions(statement))
    )
    size //= reductions
    return COPIES if size <= SMALL else COPIES // 2 if size <= MEDIUM else 1


def _longest(loop: For) -> Buffer | None:
    """The first large array that the lanes read in order, whose rows begin alike, if no large one is written.

    What is written and large begins at a whole line as it is: it was allocated here.
    """
    along = []
    for statement in statements(loop.body):
        if isinstance(statement, Store) and _is_large(statement.buffer):
            return None
        loads = (e for e in postorder(expressions(statement)) if isinstance(e, Load) and e.indices)
        along += [e.buffer for e in loads if e.indices[-1] == Index(loop.index)]
    return next((b for b in along if _is_large(b) and _rows_begin_alike(b)), None)


def _is_large(buffer: Buffer) -> bool:
    return typical(product(buffer.shape)) * buffer.dtype.itemsize >= LARGE


def _rows_begin_alike(buffer: Buffer) -> bool:
    """Whether every row of the buffer is as far from a whole line of the cache as the first."""
    last = buffer.shape[-1]
    return len(buffer.shape) == 1 or (isinstance(last, int) and last * buffer.dtype.itemsize % LINE == 0)


def _element_types(loop: For) -> set[DType]:
    """Types that lanes are chosen for. Index arithmetic and conditions do not count."""
    found: set[DType] = set()
    for statement in statements(loop.body):
        if isinstance(statement, (Store, Accumulate, Alloc)):
            found.add(statement.buffer.dtype)
        for part in postorder(expressions(statement)):
            is_element = isinstance(part, (Const, Cast)) and part.dtype not in (int64, bool_)
            if isinstance(part, Load) or is_element:
                found.add(part.dtype)
    return found
