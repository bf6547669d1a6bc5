"""The function CPython calls with numpy arrays, as LLVM text: METH_FASTCALL over NAME_run.

It takes only what needs no work: exact ndarrays of native dtype, C-contiguous and aligned, whose shapes
agree. For anything else, and where no workspace is free, it returns None with nothing done; the caller
then converts, allocates or raises. Fields of PyArrayObject are read directly: their places are part of
numpy's public ABI, and `compiler.jit.state` verifies them once.

`self` is an int64 array, the state, whose words compiler.llvm.entry_state numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.llvm.entry_extents import Sizes
from compiler.llvm.entry_run import Interface
from compiler.llvm.entry_state import (
    ARRAY_DATA,
    ARRAY_DTYPE,
    ARRAY_FLAGS,
    ARRAY_RANK,
    ARRAY_SHAPE,
    CONTIGUOUS_AND_ALIGNED,
    OBJECT_TYPE,
    WORKSPACE_BYTES,
    WORKSPACE_NEXT,
    State,
)
from compiler.llvm.runtime_text import Writer
from compiler.program import Argument
from symgraph.dimension import Dim, Extent, at_least, names_of
from symgraph.errors import CompileError
from symgraph.types import DTYPES, DType

# Letting go of the GIL takes some 50 ns: not worth it for less traffic than this.
RELEASE_BYTES = 32 * 1024
LAUNCH_BYTES = 512


def emit_python_entry(interface: Interface) -> str:
    """`ptr NAME_python(ptr self, ptr args, i64 count)`, exported."""
    return _Entry(interface).text()


class _Entry:
    def __init__(self, interface: Interface):
        self._interface = interface
        self._program = interface.program
        self._writer = Writer()
        self._dims: dict[str, str] = {}
        self._data: list[str] = []
        self._outputs: list[str] = []

    def text(self) -> str:
        writer = self._writer
        count = len(self._program.inputs)
        writer.require(writer.value(f"icmp eq i64 %count, {count}"), "decline")
        self._state = writer.field("%self", ARRAY_DATA, "ptr")
        self._bind([self._input(i) for i in range(count)])
        sizes = Sizes(writer, self._dims)
        self._take_workspace(sizes)
        self._make_outputs(sizes)
        self._run(sizes)
        self._give_back()
        self._finish()
        writer.block("decline")
        self._return_none()
        head = f"define ptr @{self._interface.name}_python(ptr %self, ptr %args, i64 %count)"
        # Optimizing it would cost more compile time than a thousand calls win back.
        return writer.function(f"{head} noinline nounwind optnone")

    def _word(self, number: int, kind: str = "ptr") -> str:
        return self._writer.field(self._state, 8 * number, kind)

    def _input(self, number: int) -> list[str]:
        """Checks all but the extents of one argument; returns its extents."""
        writer, argument = self._writer, self._program.inputs[number]
        array = writer.field("%args", 8 * number, "ptr")
        kind = writer.field(array, OBJECT_TYPE, "ptr")
        writer.require(writer.value(f"icmp eq ptr {kind}, {self._word(State.ARRAY_TYPE)}"), "decline")
        dtype = writer.field(array, ARRAY_DTYPE, "ptr")
        rank = writer.field(array, ARRAY_RANK, "i32")
        flags = writer.value(f"and i32 {writer.field(array, ARRAY_FLAGS, 'i32')}, {CONTIGUOUS_AND_ALIGNED}")
        tests = [
            writer.value(f"icmp eq ptr {dtype}, {self._word(_dtype_word(argument.type.dtype))}"),
            writer.value(f"icmp eq i32 {rank}, {argument.type.rank}"),
            writer.value(f"icmp eq i32 {flags}, {CONTIGUOUS_AND_ALIGNED}"),
        ]
        writer.require(writer.all_of(tests), "decline")
        self._data.append(writer.field(array, ARRAY_DATA, "ptr"))
        shape = writer.field(array, ARRAY_SHAPE, "ptr") if argument.type.rank else "null"
        return [writer.field(shape, 8 * axis, "i64") for axis in range(argument.type.rank)]

    def _bind(self, shapes: Sequence[list[str]]) -> None:
        """Gives each named dimension its value, then checks every extent against its formula."""
        writer = self._writer
        pairs = [
            (extent, value)
            for argument, values in zip(self._program.inputs, shapes, strict=True)
            for extent, value in zip(argument.type.shape, values, strict=True)
        ]
        bound = binding_axes(self._program.inputs, self._program.dims)
        for name, (axis, factor, offset) in bound.items():
            value = pairs[axis][1]
            if offset:
                value = writer.value(f"sub i64 {value}, {offset}")
            self._dims[name] = value if factor == 1 else writer.value(f"sdiv i64 {value}, {factor}")
        sizes = Sizes(writer, self._dims)
        # numpy's allocator would raise for a negative extent; declining leads to a better message.
        outputs = (extent for output in self._program.outputs for extent in output.type.shape)
        signed = [sizes.value(extent) for extent in outputs if not at_least(extent, 0)]
        signed += [self._dims[name] for name, (_, _, offset) in bound.items() if offset]
        tests = [writer.value(f"icmp sge i64 {value}, 0") for value in dict.fromkeys(signed)]
        for extent, value in pairs:
            wanted = sizes.value(extent)
            if wanted != value:
                tests.append(writer.value(f"icmp eq i64 {value}, {wanted}"))
        if tests:
            writer.require(writer.all_of(tests), "decline")

    def _take_workspace(self, sizes: Sizes) -> None:
        """The first of the free list, if it is large enough; null where the program needs none."""
        writer, interface = self._writer, self._interface
        self._workspace, self._needed = "null", "0"
        if not self._program.slots:
            return
        dims = ", ".join(f"i64 {self._dims[name]}" for name in self._program.dims)
        self._needed = writer.value(f"call i64 @{interface.name}_workspace_bytes({dims})")
        self._workspace = self._word(State.WORKSPACES)
        writer.require(writer.value(f"icmp ne ptr {self._workspace}, null"), "decline")
        given = writer.field(self._workspace, WORKSPACE_BYTES, "i64")
        writer.require(writer.value(f"icmp ule i64 {self._needed}, {given}"), "decline")
        following = writer.field(self._workspace, WORKSPACE_NEXT, "ptr")
        writer.line(f"store ptr {following}, ptr {self._workspaces()}")
        self._given = given

    def _give_back(self) -> None:
        if self._workspace == "null":
            return
        writer = self._writer
        link = writer.value(f"getelementptr i8, ptr {self._workspace}, i64 {WORKSPACE_NEXT}")
        writer.line(f"store ptr {self._word(State.WORKSPACES)}, ptr {link}")
        writer.line(f"store ptr {self._workspace}, ptr {self._workspaces()}")

    def _workspaces(self) -> str:
        return self._writer.value(f"getelementptr i8, ptr {self._state}, i64 {8 * State.WORKSPACES}")

    def _make_outputs(self, sizes: Sizes) -> None:
        """Fresh arrays, uninitialized. Where memory runs out, the MemoryError that numpy set goes up."""
        writer, outputs = self._writer, self._program.outputs
        longest = max((output.type.rank for output in outputs), default=0)
        if longest:
            self._shape = writer.value(f"alloca [{longest} x i64], align 8")
        else:
            self._shape = "null"
        for output in outputs:
            array = self._empty(output.type.dtype, [sizes.value(e) for e in output.type.shape])
            made, failed = writer.label("made"), writer.label("failed")
            writer.branch(writer.value(f"icmp ne ptr {array}, null"), made, failed)
            writer.block(failed)
            self._give_back()
            self._drop_outputs()
            writer.line("ret ptr null")
            writer.block(made)
            self._outputs.append(array)

    def _empty(self, dtype: DType, extents: Sequence[str]) -> str:
        """PyArray_Empty(rank, shape, dtype, order C); it takes over a reference to the dtype."""
        writer = self._writer
        for axis, extent in enumerate(extents):
            place = writer.value(f"getelementptr i8, ptr {self._shape}, i64 {8 * axis}")
            writer.line(f"store i64 {extent}, ptr {place}")
        descriptor = self._word(_dtype_word(dtype))
        writer.line(f"call void {self._word(State.INCREF)}(ptr {descriptor})")
        arguments = f"i32 {len(extents)}, ptr {self._shape}, ptr {descriptor}, i32 0"
        return writer.value(f"call ptr {self._word(State.EMPTY)}({arguments})")

    def _drop_outputs(self) -> None:
        for array in self._outputs:
            self._writer.line(f"call void {self._word(State.DECREF)}(ptr {array})")

    def _run(self, sizes: Sizes) -> None:
        """Calls NAME_run, without the GIL where there is much to do."""
        writer, interface = self._writer, self._interface
        arrays = [*self._data, *(writer.field(array, ARRAY_DATA, "ptr") for array in self._outputs)]
        context = writer.value(f"getelementptr i8, ptr {self._state}, i64 {8 * State.CONTEXT}")
        size = self._given if self._workspace != "null" else "0"
        values = [*arrays, *(self._dims[name] for name in self._program.dims), context, self._workspace, size]
        kinds = [kind for kind, _ in interface.arguments]
        arguments = ", ".join(f"{kind} {value}" for kind, value in zip(kinds, values, strict=True))
        call = f"call i32 @{interface.name}_run({arguments})"
        large, small, done = writer.label("large"), writer.label("small"), writer.label("done")
        writer.branch(writer.value(f"icmp sgt i64 {self._traffic(sizes)}, {RELEASE_BYTES}"), large, small)
        writer.block(large)
        thread = writer.value(f"call ptr {self._word(State.SAVE_THREAD)}()")
        code_large = writer.value(call)
        writer.line(f"call void {self._word(State.RESTORE_THREAD)}(ptr {thread})")
        writer.jump(done)
        writer.block(small)
        code_small = writer.value(call)
        writer.jump(done)
        writer.block(done)
        self._code = writer.value(f"phi i32 [ {code_large}, %{large} ], [ {code_small}, %{small} ]")

    def _traffic(self, sizes: Sizes) -> str:
        """Bytes that a call about moves: arguments, arena, weights, and a toll for each launch."""
        program = self._program
        total = str(LAUNCH_BYTES * len(program.launches))
        for repeat in program.repeats:
            steps = sizes.nonnegative(repeat.length)
            total = sizes.add(total, sizes.multiply(str(LAUNCH_BYTES * (repeat.last - repeat.first)), steps))
        for argument in (*program.inputs, *program.outputs, *program.weights):
            total = sizes.add(total, sizes.value(argument.type.bytes))
        return sizes.add(total, self._needed)

    def _finish(self) -> None:
        """Returns the outputs; where the program refused, drops them and declines."""
        writer = self._writer
        succeeded, refused = writer.label("succeeded"), writer.label("refused")
        writer.branch(writer.value(f"icmp eq i32 {self._code}, 0"), succeeded, refused)
        writer.block(refused)
        self._drop_outputs()
        self._return_none()
        writer.block(succeeded)
        if len(self._outputs) == 1:
            writer.line(f"ret ptr {self._outputs[0]}")
            return
        result = writer.value(f"call ptr {self._word(State.NEW_TUPLE)}(i64 {len(self._outputs)})")
        full, failed = writer.label("full"), writer.label("failed")
        writer.branch(writer.value(f"icmp ne ptr {result}, null"), full, failed)
        writer.block(failed)
        self._drop_outputs()
        writer.line("ret ptr null")
        writer.block(full)
        for i, array in enumerate(self._outputs):
            writer.value(f"call i32 {self._word(State.SET_ITEM)}(ptr {result}, i64 {i}, ptr {array})")
        writer.line(f"ret ptr {result}")

    def _return_none(self) -> None:
        # `decline` is reached before the state is known, so everything is loaded anew.
        writer = self._writer
        state = writer.field("%self", ARRAY_DATA, "ptr")
        none = writer.field(state, 8 * State.NONE, "ptr")
        incref = writer.field(state, 8 * State.INCREF, "ptr")
        writer.line(f"call void {incref}(ptr {none})")
        writer.line(f"ret ptr {none}")


def binding_axes(inputs: Sequence[Argument], dims: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Where each named dimension gets its size: (number of an axis, factor, offset).

    Axes are counted over all inputs. The extent there is `factor * name + offset`; plain names are
    preferred. Raises CompileError for a dimension that no input determines.
    """
    found: dict[str, tuple[int, int, int]] = {}
    axes = [extent for argument in inputs for extent in argument.type.shape]
    for axis, extent in enumerate(axes):
        linear = _linear(extent)
        if linear is None:
            continue
        name, factor, offset = linear
        if name not in found or ((factor, offset) == (1, 0) and found[name][1:] != (1, 0)):
            found[name] = (axis, factor, offset)
    missing = [name for name in dims if name not in found]
    if missing:
        declared = ", ".join(f"{argument.name}: {argument.type}" for argument in inputs) or "none"
        raise CompileError(
            f"no input determines the size of dimension {missing[0]!r} (inputs: {declared}); "
            f"add an input with an axis of that name"
        )
    return {name: found[name] for name in dims}


def _linear(extent: Extent) -> tuple[str, int, int] | None:
    """(name, factor, offset) of `factor * name + offset` with factor > 0."""
    names = names_of([extent])
    if not isinstance(extent, Dim) or len(names) != 1:
        return None
    factors = dict(extent.terms)
    offset = factors.pop((), 0)
    factor = factors.pop(names, 0)
    return (names[0], factor, offset) if factor > 0 and not factors else None


def _dtype_word(dtype: DType) -> int:
    return State.DTYPES + DTYPES.index(dtype)


