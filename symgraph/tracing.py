"""Functions from Python functions: `sg.trace` with declared inputs, `sg.jit` from the arrays of a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from symgraph.api import Function, function
from symgraph.eager import Tensor
from symgraph.symbol import Symbol, input
from symgraph.types import float32
from symgraph.value import as_array


def trace(fn: Callable[..., Any], *specs: Any, **options: Any) -> Function:
    """Compile `fn` by calling it once with Symbols.

    A spec is a Symbol made by sg.input, a shape, or (shape, dtype); options are sg.function's.
    """
    names = _argument_names(fn, len(specs))
    symbols = [_symbol(name, spec) for name, spec in zip(names, specs, strict=True)]
    options.setdefault("name", getattr(fn, "__name__", "function"))
    return function(symbols, fn(*symbols), **options)


def _symbol(name: str, spec: Any) -> Symbol:
    if isinstance(spec, Symbol):
        return spec
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], tuple | list):
        return input(name, spec[0], spec[1])
    return input(name, spec, float32)


def _argument_names(fn: Callable[..., Any], count: int) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [p.name for p in inspect.signature(fn).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        found = []
    return found[:count] if len(found) >= count else [f"x{i}" for i in range(count)]


def jit(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: compile `fn` for the shapes and dtypes of each call's arrays, once for each of them.

    For one function at every size declare named dimensions with `sg.trace` instead.
    """
    compiled: dict[Any, Function] = {}

    @functools.wraps(fn)
    def call(*arrays: Any) -> Any:
        values = [a.data if isinstance(a, Tensor) else as_array(a) for a in arrays]
        key = tuple((v.shape, v.dtype) for v in values)
        if key not in compiled:
            compiled[key] = trace(fn, *key)
        return compiled[key](*values)

    return call
