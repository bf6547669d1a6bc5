"""LLVM: kernels and entries as text, object code, code in memory.

`compiler.llvm.entry` and `entry_kernels`, with all that writes text, are imported when they are first named:
cached code needs none of it.
"""

from importlib import import_module
from types import ModuleType

LATER = frozenset({"entry", "entry_kernels"})


def __getattr__(name: str) -> ModuleType:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
