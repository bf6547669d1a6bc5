"""What may be handed to a compiled function, and how it becomes the memory the function reads.

Taken as they are: arrays of the declared dtype, in any memory order (copied where they are not C-contiguous
and aligned; byte-swapped where they are of the other byte order); anything that offers itself as an array
(`__array__`, the buffer protocol). Python numbers, lists of them and numpy scalars become arrays of the
declared dtype where that loses nothing: ints that fit, floats into floats, bools into bools. All the rest is
an InputError: no other cast, no truncation, no broadcasting.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.program import Argument
from symgraph.dimension import Dim, Extent, evaluate, names_of
from symgraph.errors import InputError
from symgraph.types import SHORT_NAMES, DType, bool_

KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float"}


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a function. `dims` in order of first appearance in inputs, then outputs."""

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    dims: tuple[str, ...]

    def arrays(self, values: Sequence[object]) -> tuple[np.ndarray, ...]:
        """C-contiguous, aligned arrays of the declared dtypes and ranks. Raises InputError."""
        if len(values) != len(self.inputs):
            declared = ", ".join(f"{a.name}: {a.type}" for a in self.inputs) or "none"
            raise InputError(
                f"{self.name} takes {_count(len(self.inputs))} ({declared}), got {len(values)}"
            )
        return tuple(self._array(a, v) for a, v in zip(self.inputs, values, strict=True))

    def sizes(self, arrays: Sequence[np.ndarray]) -> dict[str, int]:
        """The size of every named dimension. Raises InputError where shapes do not agree."""
        sizes: dict[str, int] = {}
        origins: dict[str, int] = {}
        for number, (argument, array) in enumerate(zip(self.inputs, arrays, strict=True)):
            for extent, size in zip(argument.type.shape, array.shape, strict=True):
                name = _plain_name(extent)
                if name is not None and name not in sizes:
                    sizes[name], origins[name] = size, number
        for number, (argument, array) in enumerate(zip(self.inputs, arrays, strict=True)):
            for extent, size in zip(argument.type.shape, array.shape, strict=True):
                _solve(extent, size, sizes, origins, number)
        for number, array in enumerate(arrays):
            self._check_shape(number, array, sizes, origins, arrays)
        return {name: sizes[name] for name in self.dims}

    def _array(self, argument: Argument, value: object) -> np.ndarray:
        try:
            array = _as_array(value, argument.type.dtype)
        except _RefusedError as error:
            raise InputError(f"{self.name}: {_expected(argument)}, got {error}") from None
        if array.ndim != argument.type.rank:
            raise InputError(f"{self.name}: {_expected(argument)}, got {_describe(array)}")
        return array

    def _check_shape(
        self,
        number: int,
        array: np.ndarray,
        sizes: Mapping[str, int],
        origins: Mapping[str, int],
        arrays: Sequence[np.ndarray],
    ) -> None:
        argument = self.inputs[number]
        for extent, size in zip(argument.type.shape, array.shape, strict=True):
            if evaluate(extent, sizes) == size:
                continue
            text = f"{self.name}: {_expected(argument)}, got {_describe(array)}"
            for name in names_of([extent]):
                origin = origins[name]
                if origin != number:
                    other = self.inputs[origin]
                    text += (
                        f"; {name} is {sizes[name]} in input {other.name!r}, "
                        f"{_describe(arrays[origin])} for {other.type}"
                    )
                else:
                    text += f"; {name} is {sizes[name]} on another axis of the same input"
            raise InputError(text)


class _RefusedError(Exception):
    """Why a value is no array of the wanted kind; the text completes "got ..."."""


def _as_array(value: object, dtype: DType) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        raise _RefusedError("a masked array, whose mask would be ignored; pass .filled(...) or .data")
    if isinstance(value, np.ndarray):
        return _from_array(np.asarray(value), dtype)
    if isinstance(value, (numbers.Number, np.generic, list, tuple)):
        return _from_python(value, dtype)
    if isinstance(value, (str, bytes)) or value is None:
        raise _RefusedError(f"{value!r:.40}")
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__") or _has_buffer(value):
        return _from_array(_offered(value), dtype)
    raise _RefusedError(f"an object of type {type(value).__name__}")


def _from_array(array: np.ndarray, dtype: DType) -> np.ndarray:
    if array.dtype.newbyteorder("=") != dtype:
        raise _RefusedError(f"{_describe(array)}; convert it with .astype({dtype.name!r})")
    # `view` makes sure of the one dtype object that native code compares with.
    return np.require(array, dtype, ("C", "A")).view(dtype)


def _from_python(value: object, dtype: DType) -> np.ndarray:
    """Numbers and nested lists of them, if the declared dtype holds them without loss."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise _RefusedError(f"{value!r:.40}: {error}") from None
    if array.size == 0:
        return np.empty(array.shape, dtype)
    kind = KINDS.get(array.dtype.kind)
    allowed = {"bool"} if dtype == bool_ else {"int", "float"} if dtype.kind == "f" else {"int"}
    if kind not in allowed:
        raise _RefusedError(f"{_describe(array)} from {value!r:.40}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype)
    if kind == "float":
        exact = np.array_equal(np.isfinite(converted), np.isfinite(array))
    else:
        exact = np.array_equal(converted.astype(object), array.astype(object))
    if not exact:
        raise _RefusedError(f"{value!r:.40}, which {SHORT_NAMES[dtype]} cannot hold")
    return converted


def _offered(value: object) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:
        raise _RefusedError(f"an object of type {type(value).__name__}: {error}") from error


def _has_buffer(value: object) -> bool:
    try:
        memoryview(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False
    return True


def _plain_name(extent: Extent) -> str | None:
    if isinstance(extent, Dim) and len(extent.names) == 1 and extent == Dim.named(extent.names[0]):
        return extent.names[0]
    return None


def _solve(extent: Extent, size: int, sizes: dict[str, int], origins: dict[str, int], number: int) -> None:
    """Finds the one unknown name of `factor * name + offset == size`; leaves a remainder to the check."""
    unknown = [name for name in names_of([extent]) if name not in sizes]
    if not isinstance(extent, Dim) or len(extent.names) != 1 or not unknown:
        return
    name = unknown[0]
    offset = extent.evaluate({name: 0})
    factor = extent.evaluate({name: 1}) - offset
    if factor > 0 and extent == factor * Dim.named(name) + offset:
        sizes[name] = max((size - offset) // factor, 0)
        origins[name] = number


def _expected(argument: Argument) -> str:
    return f"input {argument.name!r} expected {argument.type}"


def _describe(array: np.ndarray) -> str:
    """`f32[3, 64]`, with numpy's name for element types we do not have."""
    native = array.dtype.newbyteorder("=")
    name = SHORT_NAMES.get(native, str(array.dtype))
    return f"{name}[{', '.join(map(str, array.shape))}]"


def _count(number: int) -> str:
    return "1 array" if number == 1 else f"{number} arrays"
