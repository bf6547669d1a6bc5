"""Modules: models as objects whose attributes hold parameters, states and other modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from symgraph.eager import Parameter, State
from symgraph.errors import StateError, SymgraphError
from symgraph.random import Generator
from symgraph.structure import require_mapping
from symgraph.symbol import placed
from symgraph.words import counted

UNNAMED = "parameter"  # the name of a Parameter made without one


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and models. Subclasses set attributes in `__init__` and define `forward`.

    Attributes that are Parameters, States or Modules belong to the module, in the order they were set; a
    call runs `forward` on Symbols or Tensors. Parameters are named after the path of attributes that leads
    to them ("body.0.weight"), unless they were given a name.
    """

    training: bool = True
    path: str = ""  # where it stands in the model it belongs to; "" for the model itself

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            return self.forward(*inputs, **options)
        except SymgraphError as error:
            raise placed(error) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            _put_below(value, name)
        elif isinstance(value, State):
            if value.name == UNNAMED:
                value.name = name
        elif isinstance(value, list | tuple | dict) and _holds_parts(value):
            raise TypeError(
                f"{type(self).__name__}.{name}: parameters and modules inside a {type(value).__name__} would "
                "not be found; use nn.ModuleList, nn.Sequential or one attribute for each"
            )
        object.__setattr__(self, name, value)

    # --- what belongs to it ---------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(attribute, module) of the modules directly below."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """(path, module) of this one (path "") and all below, parents first; shared ones once."""
        seen: set[int] = set()
        for path, module in self._walk():
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), shared ones once."""
        return ((key, value) for key, value in self._once() if isinstance(value, Parameter))

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, State]]:
        """(path, state) of what is carried along but not learnt, such as moving averages."""
        return ((key, value) for key, value in self._once() if not isinstance(value, Parameter))

    def buffers(self) -> list[State]:
        return [state for _, state in self.named_buffers()]

    def _walk(self) -> Iterator[tuple[str, Module]]:
        """Every path to a module, so a shared one more than once; iterative at any depth."""
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            yield path, module
            below = [(_join(path, name), child) for name, child in module.named_children()]
            stack.extend(reversed(below))

    def _entries(self) -> Iterator[tuple[str, State]]:
        """Every key of the state dict: a module's parameters, then its other states, then those below."""
        for path, module in self._walk():
            own = [(n, v) for n, v in vars(module).items() if isinstance(v, State)]
            own.sort(key=lambda entry: not isinstance(entry[1], Parameter))  # stable: parameters first
            yield from ((_join(path, name), value) for name, value in own)

    def _once(self) -> Iterator[tuple[str, State]]:
        seen: set[int] = set()
        for key, value in self._entries():
            if id(value) not in seen:
                seen.add(id(value))
                yield key, value

    # --- saving and loading ---------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and states under PyTorch's keys; a shared one under each of its paths."""
        return {key: value.numpy() for key, value in self._entries()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Assign arrays by key. Shapes and dtypes must be the same.

        With strict=False missing and surplus keys are left out and returned. Raises StateError that lists
        every difference; then nothing was assigned.
        """
        require_mapping("load_state_dict", state)
        own = dict(self._entries())
        arrays = {key: np.asarray(state[key]) for key in own if key in state}
        missing = [key for key in own if key not in state]
        unexpected = [key for key in state if key not in own]
        problems = [f"{key}: missing" for key in missing] if strict else []
        problems += [f"{key}: not in the model" for key in unexpected] if strict else []
        problems += _mismatches(own, arrays)
        if problems:
            raise StateError(
                f"load_state_dict: {counted(len(problems), 'difference')}, nothing was loaded\n  "
                + "\n  ".join(problems)
            )
        for key, array in arrays.items():
            own[key].assign(array)
        return LoadResult(missing, unexpected)

    def random_state(self) -> dict[str, np.ndarray]:
        """Where the random numbers of its modules stand (PyTorch's state dict has no place for that)."""
        return {key: state.numpy() for key, state in self._random_entries()}

    def load_random_state(self, state: Mapping[str, Any]) -> None:
        """Go on drawing from where `random_state` was taken. Raises StateError; then nothing was assigned."""
        own = dict(self._random_entries())
        if set(own) != set(state):
            raise StateError(f"load_random_state: expected {sorted(own)}, got {sorted(state)}")
        arrays = {key: np.asarray(value) for key, value in state.items()}
        if problems := _mismatches(own, arrays):
            raise StateError("load_random_state: nothing was loaded\n  " + "\n  ".join(problems))
        for key, array in arrays.items():
            own[key].assign(array)

    def _random_entries(self) -> Iterator[tuple[str, State]]:
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Generator):
                    yield _join(path, f"{name}.key"), value.key
                    yield _join(path, f"{name}.counter"), value.counter

    # --- training and inference -----------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Choose what an eager call does; a compiled function decides by its own `training=`."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients that `backward` has accumulated."""
        for parameter in self.parameters():
            parameter.grad = None

    # --- text -----------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The arguments that a layer was made with."""
        return ""

    @property
    def label(self) -> str:
        """`Dropout(p=0.2), at 'body.3'`: how errors name it."""
        text = f"{type(self).__name__}({self.extra_repr()})"
        return f"{text}, at {self.path!r}" if self.path else text

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()}"
        below = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not below:
            return head + ")"
        body = "\n".join(below).replace("\n", "\n  ")
        return f"{head}\n  {body}\n)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _holds_parts(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return any(isinstance(part, Module | Parameter) for part in parts)


def _put_below(child: Module, name: str) -> None:
    """Put `name` before the paths of the child and of all that stand below it and nowhere else."""
    for path, module in child.named_modules():
        if module.path != path:
            continue  # shared with another module, where it has its name from
        object.__setattr__(module, "path", _join(name, path) if path else name)
        for attribute, state in _named_states(module):
            if state.name == _join(path, attribute):
                state.name = _join(module.path, attribute)


def _named_states(module: Module) -> Iterator[tuple[str, State]]:
    """What a module holds itself: its states by attribute, and those of its generators by their own names."""
    for attribute, value in vars(module).items():
        if isinstance(value, State):
            yield attribute, value
        elif isinstance(value, Generator):
            yield "rng_key", value.key
            yield "rng_counter", value.counter


def _mismatches(own: Mapping[str, State], arrays: Mapping[str, np.ndarray]) -> list[str]:
    problems = []
    first: dict[int, str] = {}
    for key, array in arrays.items():
        state = own[key]
        expected, got = (f"{a.dtype}{list(a.shape)}" for a in (state.data, array))
        if expected != got:
            problems.append(f"{key}: expected {expected}, got {got}")
            continue
        other = first.setdefault(id(state), key)
        if not np.array_equal(array, arrays[other], equal_nan=array.dtype.kind == "f"):
            problems.append(f"{key}: shared with {other}, but their values differ")
    return problems
