"""How a graph runs: passes, loop kernels, native code.

`compiler.recipe` and its like are imported when they are first named: to take a function from the cache needs
neither passes nor a code generator, whose import takes longer than all the rest of it.
"""

from importlib import import_module
from types import ModuleType

LATER = frozenset({"pipeline", "recipe", "deploy", "probes", "profiler", "report"})


def __getattr__(name: str) -> ModuleType:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
