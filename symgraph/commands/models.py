"""What the commands take for MODEL: a saved file, a shared library, or a name in a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import symgraph as sg
from symgraph.errors import SymgraphError
from symgraph.library import SharedModel

if TYPE_CHECKING:
    Model = sg.Function | SharedModel
MODEL_HELP = "a file written by Function.save, or script.py:NAME, a function or variable of that script"


class UsageError(Exception):
    """The command line does not say what to do; exit code 2."""


def open_any(text: str) -> Any:
    """What a file or `script.py:NAME` holds: Function, SharedModel, Graph, dict, Module, Symbol or Tensor."""
    script, colon, name = text.rpartition(":")
    if colon and script.endswith(".py"):
        return _made(_attribute(Path(script), name), text)
    path = Path(text)
    if path.suffix == ".py":
        raise UsageError(f"{text}: say which of its names is the model, as in {text}:predict")
    if not path.is_file():
        raise SymgraphError(f"{text}: there is no such file")
    return sg.load_library(path) if _is_library(path) else sg.load(path)


def open_model(text: str) -> Model:
    """A function that can be called. Raises SymgraphError for anything else."""
    found = open_any(text)
    if isinstance(found, SharedModel):  # asked first: sg.Function would load the compiler
        return found
    if isinstance(found, sg.Function):
        return found
    raise SymgraphError(f"{text} is a {type(found).__name__}, expected what sg.function makes")


def open_function(text: str) -> sg.Function:
    """A function whose graph is known, so not a library."""
    found = open_model(text)
    if isinstance(found, sg.Function):
        return found
    raise SymgraphError(f"{text} is a compiled library: its graph is not in it, only its code")


def check_stage(found: Any, text: str, stage: str) -> None:
    """Raises UsageError unless `found`, which `text` named, is a function with this stage."""
    if not isinstance(found, sg.Function):
        raise UsageError(f"--stage: {text} is not a compiled function, it has no stages")
    if stage not in found.stages:
        raise UsageError(f"there is no stage {stage!r}; the stages are {', '.join(found.stages)}")


def _is_library(path: Path) -> bool:
    return ".so" in path.suffixes or path.suffix in (".dylib", ".dll")


def _attribute(script: Path, name: str) -> Any:
    """A name of a script, once that has run as a module (its `if __name__ == "__main__"` part does not)."""
    if not script.is_file():
        raise SymgraphError(f"{script}: there is no such file")
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None, script
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    sys.path.insert(0, str(script.parent))
    run_user_code(lambda: spec.loader.exec_module(module), script)  # pyright: ignore[reportOptionalMemberAccess]
    if not hasattr(module, name):
        raise SymgraphError(f"{script} has no {name!r}; it has {', '.join(_names(module)) or 'no names'}")
    return getattr(module, name)


def _names(module: Any) -> list[str]:
    """What could be meant."""
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return [key for key, value in own.items() if callable(value) or isinstance(value, sg.Symbol)][:20]


def _made(value: Any, text: str) -> Any:
    """A plain Python function is called, without arguments, to make the model."""
    known = (sg.Function, SharedModel, sg.nn.Module)
    if callable(value) and not isinstance(value, known):
        script, _, _ = text.rpartition(":")
        return run_user_code(value, Path(script))
    return value


def run_user_code(call: Callable[[], Any], script: Path) -> Any:
    """The call's result. What it raises becomes a SymgraphError with the line of the script."""
    try:
        return call()
    except SymgraphError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename) == script] or frames
        place = f"  at {own[-1].filename}:{own[-1].lineno}      {own[-1].line}"
        raise SymgraphError(f"{script} raised {type(error).__name__}: {error}\n{place}") from error


def inputs_of(model: Model) -> list[tuple[str, str]]:
    """(name, type) of each input."""
    if isinstance(model, SharedModel):
        return [(argument.name, str(argument.type)) for argument in model.signature.inputs]
    return [(node.name, str(node.type)) for node in model.graph.inputs]


def in_order(model: Model, arrays: Mapping[str, Any]) -> Sequence[Any]:
    """The arrays by the inputs' names. Raises InputError for a missing or surplus one."""
    names = [name for name, _ in inputs_of(model)]
    missing = [name for name in names if name not in arrays]
    surplus = [name for name in arrays if name not in names]
    if missing or surplus:
        raise sg.InputError(f"{model.name}: expected arrays named {names}, got {list(arrays)}")
    return [arrays[name] for name in names]
