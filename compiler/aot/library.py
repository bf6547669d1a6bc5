"""Calling an exported model's shared library with numpy arrays; nothing is compiled."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from compiler.abi import ABI_VERSION, DTYPE_OF_NAME, ArrayInfo, Code, ModelInfo
from compiler.aot.elf import read_elf
from compiler.jit.arguments import Signature
from compiler.jit.c_call import CRun, allocate_outputs, code_message
from compiler.jit.workspace import address_of, allocate
from compiler.program import Argument
from symgraph.dimension import Dim, Extent
from symgraph.errors import ExportError, InputError
from symgraph.types import TensorType

ENTRIES = ("run", "workspace_bytes", "strerror", "info", "selftest")
TYPE = re.compile(r"(\w+)\[(.*)\]")

# What the loader has under a path: it would give the old library again for a new file of the same name.
_loaded: dict[str, tuple[int, int, int]] = {}


class SharedModel:
    """`model(*arrays)` returns the one output, or a tuple of several, as a compiled function does.

    Takes what compiled functions take and raises the same InputError. Threads may call it at once.
    """

    def __init__(self, path: Path, name: str, library: ctypes.CDLL):
        self.path = path
        self.name = name
        self._library = library
        self.info = _info(path, name, library)
        self.signature = _signature(name, self.info)
        run, needed = (_address(getattr(library, f"{name}_{entry}")) for entry in ENTRIES[:2])
        self._run = CRun(self.signature, run, needed, None)
        self._workspaces = _Workspaces(name)

    def __call__(self, *arrays: object) -> np.ndarray | tuple[np.ndarray, ...]:
        inputs = self.signature.arrays(arrays)
        sizes = self.signature.sizes(inputs)
        outputs = allocate_outputs(self.signature, sizes)
        needed = self.workspace_bytes(sizes)
        if needed >= 2**63:
            raise InputError(f"{self.name}: {code_message(Code.DIMENSION_OUT_OF_RANGE)} ({dict(sizes)})")
        with self._workspaces.of(needed) as workspace:
            code = self._run([*inputs, *outputs], list(sizes.values()), workspace, needed)
        if code:
            raise InputError(f"{self.name}: {code_message(code)} ({dict(sizes)})")
        return outputs[0] if len(outputs) == 1 else outputs

    def workspace_bytes(self, dims: Mapping[str, int]) -> int:
        """The workspace's size for these sizes of the named dimensions."""
        return self._run.workspace_bytes([dims[name] for name in self.signature.dims])

    def selftest(self) -> None:
        """Runs the stored case. Raises ExportError where the result is not the stored one."""
        selftest = getattr(self._library, f"{self.name}_selftest")
        selftest.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        selftest.restype = ctypes.c_int32
        size = 1 << 20
        while (code := self._try_selftest(selftest, size)) == Code.WORKSPACE_TOO_SMALL and size < 1 << 40:
            size *= 4
        if code:
            raise ExportError(f"{self.path}: {code_message(code)}")

    def _try_selftest(self, selftest: Callable[[int, int], int], size: int) -> int:
        with self._workspaces.of(size) as workspace:
            return selftest(workspace, size)


class _Workspaces:
    """Memory that calls take and give back; the list's methods are atomic."""

    def __init__(self, name: str):
        self._name = name
        self._free: list[mmap.mmap] = []

    @contextlib.contextmanager
    def of(self, size: int) -> Iterator[int]:
        """The address of `size` bytes, aligned to 64; 0 for none."""
        if size == 0:
            yield 0
            return
        try:
            pages = self._free.pop()
        except IndexError:
            pages = allocate(self._name, size)
        if len(pages) < size:
            pages = allocate(self._name, size)
        try:
            yield address_of(pages)
        finally:
            self._free.append(pages)


def load_library(path: str | os.PathLike[str], name: str | None = None) -> SharedModel:
    """The model in a shared library that `export` wrote; `name` where a library holds several.

    Raises ExportError for a file that is no such library or was made for another interface.
    """
    file = Path(path).absolute()
    try:
        symbols = {symbol.name for symbol in read_elf(file.read_bytes()).exported}
    except OSError as error:
        raise ExportError(f"cannot read {str(file)!r}: {error.strerror}") from error
    except ExportError as error:
        raise ExportError(f"{str(file)!r}: {error}") from error
    prefix = _prefix(file, symbols, name)
    try:
        library = _open(file)
    except OSError as error:
        raise ExportError(f"cannot load {str(file)!r}: {error}") from error
    return SharedModel(file, prefix, library)


def _prefix(file: Path, symbols: set[str], name: str | None) -> str:
    stems = sorted(s.removesuffix("_info") for s in symbols if s.endswith("_info"))
    models = [stem for stem in stems if all(f"{stem}_{entry}" in symbols for entry in ENTRIES)]
    if name is not None and name in models:
        return name
    if name is not None or len(models) != 1:
        found = ", ".join(models) or "none"
        wanted = f"model {name!r}" if name else "one model"
        raise ExportError(f"{str(file)!r}: expected {wanted}, found {found}")
    return models[0]


def _open(file: Path) -> ctypes.CDLL:
    """The library as the file is now, even where an older file of that name has been loaded."""
    status = file.stat()
    identity = (status.st_dev, status.st_ino, status.st_mtime_ns)
    known = _loaded.setdefault(str(file), identity)
    if known == identity:
        return ctypes.CDLL(str(file))
    with tempfile.NamedTemporaryFile(suffix=".so") as copy:
        copy.write(file.read_bytes())
        copy.flush()
        return ctypes.CDLL(copy.name)


def _info(path: Path, name: str, library: ctypes.CDLL) -> ModelInfo:
    describe = getattr(library, f"{name}_info")
    describe.argtypes = ()
    describe.restype = ctypes.POINTER(ModelInfo)
    info = describe().contents
    if info.abi != ABI_VERSION or info.struct_size < ctypes.sizeof(ModelInfo):
        raise ExportError(f"{str(path)!r} was made for interface {info.abi}; expected {ABI_VERSION}")
    if info.has_context:
        raise ExportError(f"{str(path)!r} wants its weights from outside; expected embedded weights")
    return info


def _signature(name: str, info: ModelInfo) -> Signature:
    inputs = tuple(_argument(info.inputs[i]) for i in range(info.input_count))
    outputs = tuple(_argument(info.outputs[i]) for i in range(info.output_count))
    dims = tuple(info.dims[i].decode() for i in range(info.dim_count))
    return Signature(name, inputs, outputs, dims)


def _argument(info: ArrayInfo) -> Argument:
    text = info.type.decode()
    match = TYPE.fullmatch(text)
    if match is None or match[1] not in DTYPE_OF_NAME:
        raise ExportError(f"not an array type: {text!r}")
    shape = tuple(_extent(part) for part in match[2].split(", ")) if match[2] else ()
    return Argument(info.name.decode("utf-8", "replace"), TensorType(shape, DTYPE_OF_NAME[match[1]]))


def _extent(text: str) -> Extent:
    """An extent as Dim prints it: `2*batch*batch-3*batch+1`."""
    total: Extent = 0
    for sign, term in re.findall(r"([+-]?)([^+-]+)", text):
        value: Extent = -1 if sign == "-" else 1
        for factor in term.split("*"):
            value = value * (int(factor) if factor.isdecimal() else Dim.named(factor))
        total = total + value
    return total


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # pyright: ignore[reportArgumentType]
