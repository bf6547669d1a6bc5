"""What a compiled function finds in its `self`: addresses of CPython and numpy, workspaces, weights.

The state is an int64 array whose words compiler.llvm.entry_state numbers. It also owns, as a Python
object, all that must outlive the native code: CPython keeps a function's `self` as long as the function.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

import numpy as np

from compiler.llvm.entry_state import (
    ARRAY_DATA,
    ARRAY_DTYPE,
    ARRAY_FLAGS,
    ARRAY_RANK,
    ARRAY_SHAPE,
    CONTIGUOUS_AND_ALIGNED,
    OBJECT_TYPE,
    State,
)
from symgraph.types import DTYPES, float32

METH_FASTCALL = 0x0080
# PyArray_GetNDArrayCVersion is in slot 0 of numpy's table; the others keep their places in numpy 2.
NUMPY_2 = 0x02000000
ARRAY_TYPE_SLOT, EMPTY_SLOT = 2, 184
FUNCTIONS = {
    State.INCREF: "Py_IncRef",
    State.DECREF: "Py_DecRef",
    State.NEW_TUPLE: "PyTuple_New",
    State.SET_ITEM: "PyTuple_SetItem",
    State.SAVE_THREAD: "PyEval_SaveThread",
    State.RESTORE_THREAD: "PyEval_RestoreThread",
}


# What NAME_python is to Python: None where it declines.
Entry = Callable[..., np.ndarray | tuple[np.ndarray, ...] | None]


class FunctionState(np.ndarray):
    """The int64 words, with a `__dict__` for owners; see `new_state`."""

    owners: tuple[object, ...]


class MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def new_state(threads: int, parallel: int, weights: Sequence[np.ndarray]) -> FunctionState:
    """The state of one function; `parallel` is the address of sg_parallel, 0 for none."""
    words = [0] * State.CONTEXT
    for number, value in _interpreter_words().items():
        words[number] = value
    words += [threads, parallel, *(array.ctypes.data for array in weights)]
    state = np.array(words, np.uint64).view(np.int64).view(FunctionState)
    state.owners = tuple(weights)
    return state


def context_address(state: np.ndarray) -> int:
    """The `context` argument of NAME_run."""
    return state.ctypes.data + 8 * State.CONTEXT


def python_function(name: str, address: int, state: FunctionState) -> Entry:
    """The builtin function object over NAME_python."""
    definition = MethodDefinition(name.encode("utf-8", "replace"), address, METH_FASTCALL, None)
    state.owners += (definition,)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.POINTER(MethodDefinition), ctypes.py_object, ctypes.c_void_p)
    return make(ctypes.byref(definition), state, None)


@cache
def has_fast_entry() -> bool:
    """Whether this CPython and this numpy keep their objects where NAME_python looks.

    Writes nothing: compares what it finds in some arrays with what numpy says of them. SYMGRAPH_FAST_ENTRY=0
    says no; calls then go through ctypes.
    """
    if os.environ.get("SYMGRAPH_FAST_ENTRY") == "0":
        return False
    if sys.implementation.name != "cpython" or "free-threading" in sys.version:
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little" or hasattr(sys, "getobjects"):
        return False
    samples = (np.zeros((3, 5), np.float32), np.ones((2, 0, 7), np.int64), np.zeros((4, 6))[:, ::2])
    return all(_as_expected(array) for array in samples) and _makes_arrays()


def _as_expected(array: np.ndarray) -> bool:
    start = id(array)
    shape = _word(start + ARRAY_SHAPE)
    flags = ctypes.c_int.from_address(start + ARRAY_FLAGS).value
    plain = array.flags.c_contiguous and array.flags.aligned
    return (
        _word(start + OBJECT_TYPE) == id(np.ndarray)
        and _word(start + ARRAY_DATA) == array.ctypes.data
        and ctypes.c_int.from_address(start + ARRAY_RANK).value == array.ndim
        and _word(start + ARRAY_DTYPE) == id(array.dtype)
        and all(_word(shape + 8 * axis) == size for axis, size in enumerate(array.shape))
        and (flags & CONTIGUOUS_AND_ALIGNED == CONTIGUOUS_AND_ALIGNED) == plain
    )


def _makes_arrays() -> bool:
    version = ctypes.PYFUNCTYPE(ctypes.c_uint)(_word(_numpy_table()))
    words = _interpreter_words()
    if version() != NUMPY_2 or words[State.ARRAY_TYPE] != id(np.ndarray):
        return False
    prototype = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
    )
    shape = (ctypes.c_int64 * 2)(3, 4)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(float32))
    array = prototype(words[State.EMPTY])(2, ctypes.addressof(shape), id(float32), 0)
    return type(array) is np.ndarray and array.shape == (3, 4) and array.dtype is float32


@cache
def _interpreter_words() -> dict[int, int]:
    words: dict[int, int] = {State.NONE: id(None)}
    for number, name in FUNCTIONS.items():
        words[number] = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    for number, dtype in enumerate(DTYPES):
        words[State.DTYPES + number] = id(dtype)
    table = _numpy_table()
    words[State.ARRAY_TYPE] = _word(table + 8 * ARRAY_TYPE_SLOT)
    words[State.EMPTY] = _word(table + 8 * EMPTY_SLOT)
    return words


def _numpy_table() -> int:
    """The address of numpy's C API table."""
    capsule = import_module("numpy._core._multiarray_umath")._ARRAY_API
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = (ctypes.py_object, ctypes.c_char_p)
    return get(capsule, None)


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
