"""What every optimizer shares: its rule is written once and serves both worlds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgraph.eager import State, Tensor, no_grad
from symgraph.errors import DTypeError, ShapeError, StateError
from symgraph.gradient import grad
from symgraph.ops.arithmetic import add
from symgraph.ops.casting import cast
from symgraph.structure import require_mapping
from symgraph.symbol import Symbol
from symgraph.types import FLOATS, float64
from symgraph.value import Number, Value

Rate = float | Value


@dataclass(eq=False, slots=True)
class Group:
    """Parameters met together: they share a count of steps, an int64 state, where the rule needs one."""

    step: State | None
    members: list[State] = field(default_factory=list)


class Optimizer:
    """Abstract. A subclass names its slots and defines `update`.

    Slots are states of a parameter's shape and dtype, made when the parameter is first met; static and
    eager use share them. `lr` is a number, or a state or scalar value to change it between steps.
    """

    slots: tuple[str, ...] = ()
    counts_steps: bool = False

    def __init__(self, lr: Rate):
        self.lr = _checked_rate(lr)
        self._groups: list[Group] = []
        self._slots: dict[State, dict[str, State]] = {}

    def scalars(self, step: Value) -> Mapping[str, Any]:
        """Numbers that all parameters share in one step, from its float64 number (1 the first time).

        Only asked for by a subclass with `counts_steps`.
        """
        return {}

    def update(
        self, parameter: Any, gradient: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        """The rule: new value of the parameter, new values of its slots."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    # --- use ------------------------------------------------------------------------------------

    def minimize(self, loss: Value, parameters: Iterable[State]) -> dict[State, Symbol]:
        """One step down the gradient of a scalar loss.

        For a Symbol: the new value of every parameter and slot, for `sg.function(updates=)`. For a Tensor
        they are assigned at once and {} is returned. Parameters with requires_grad=False stay as they are.
        Raises GradientError for a parameter that the loss does not depend on.
        """
        learnt = [p for p in _checked_parameters(parameters) if p.requires_grad]
        if isinstance(loss, Symbol):
            return self._new_values(learnt, grad(loss, learnt))
        with no_grad():
            self._assign(self._new_values(learnt, grad(loss, learnt)))
        return {}

    def step(self, parameters: Iterable[State]) -> None:
        """One eager step from the `.grad` of each parameter; those without one are left out."""
        ready = [p for p in _checked_parameters(parameters) if p.grad is not None]
        with no_grad():
            self._assign(self._new_values(ready, [Tensor(np.asarray(p.grad)) for p in ready]))

    def zero_grad(self, parameters: Iterable[State]) -> None:
        """Forget the gradients that `backward` has accumulated."""
        for parameter in _checked_parameters(parameters):
            parameter.grad = None

    def _new_values(self, parameters: Sequence[State], gradients: Sequence[Any]) -> dict[State, Any]:
        groups = self._groups_of(parameters)
        gradient_of = dict(zip(parameters, gradients, strict=True))
        new: dict[State, Any] = {}
        for group, members in groups:
            world = type(gradient_of[members[0]])
            scalars: Mapping[str, Any] = {}
            if group.step is not None:
                new[group.step] = add(world.enter(group.step), 1)
                scalars = self.scalars(cast(new[group.step], float64))
            for parameter in members:
                slots = self._slots[parameter]
                values = {name: world.enter(slot) for name, slot in slots.items()}
                value, moved = self.update(world.enter(parameter), gradient_of[parameter], values, scalars)
                new[parameter] = value
                new.update((slots[name], moved[name]) for name in slots)
        return new

    def _assign(self, new: Mapping[State, Any]) -> None:
        for state, value in new.items():
            state.assign(value)

    # --- slots ----------------------------------------------------------------------------------

    def _groups_of(self, parameters: Sequence[State]) -> list[tuple[Group, list[State]]]:
        """Each group with those of its members that are asked for; new parameters make a new group."""
        fresh = [p for p in parameters if p not in self._slots]
        if fresh:
            name = f"{type(self).__name__.lower()}.step"
            step = State(name, np.zeros((), np.int64)) if self.counts_steps else None
            self._groups.append(Group(step, fresh))
        for parameter in fresh:
            self._slots[parameter] = {
                slot: State(f"{parameter.name}.{slot}", np.zeros_like(parameter.data)) for slot in self.slots
            }
        asked = set(parameters)
        chosen = [(group, [p for p in group.members if p in asked]) for group in self._groups]
        return [(group, members) for group, members in chosen if members]

    def _entries(self) -> dict[str, State]:
        entries: dict[str, State] = {}
        for group in self._groups:
            if group.step is not None:
                _put(entries, "step", group.step)
            for parameter in group.members:
                for slot, state in self._slots[parameter].items():
                    _put(entries, f"{parameter.name}.{slot}", state)
        return entries

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the step counts and of all slots, under "<parameter>.<slot>"."""
        return {key: state.numpy() for key, state in self._entries().items()}

    def load_state_dict(self, state: Mapping[str, Any], parameters: Iterable[State] | None = None) -> None:
        """Assign what `state_dict` gave. An optimizer that has not met its parameters yet needs them here.

        Raises StateError that lists every difference; then nothing was assigned.
        """
        if parameters is not None:
            self._groups_of([p for p in _checked_parameters(parameters) if p.requires_grad])
        require_mapping("load_state_dict", state)
        own = self._entries()
        problems = [f"{key}: missing" for key in own if key not in state]
        problems += [f"{key}: not a slot of this optimizer" for key in state if key not in own]
        arrays = {key: np.asarray(state[key]) for key in own if key in state}
        for key, array in arrays.items():
            expected, got = (f"{a.dtype}{list(a.shape)}" for a in (own[key].data, array))
            if expected != got:
                problems.append(f"{key}: expected {expected}, got {got}")
        if problems:
            hint = "" if own else "\n  (it has met no parameters yet: pass parameters=)"
            listed = "\n  ".join(problems)
            raise StateError(f"load_state_dict: nothing was loaded{hint}\n  {listed}")
        for key, array in arrays.items():
            own[key].assign(array)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr})"


def like(number: Rate, value: Value) -> Any:
    """A number to compute with beside `value`: a scalar value takes its dtype."""
    return cast(type(value).enter(number), value.dtype) if isinstance(number, Value) else number


def _put(entries: dict[str, State], key: str, state: State) -> None:
    """Under its key, or `key#2` where two parameters have one name."""
    place, count = key, 1
    while place in entries:
        count += 1
        place = f"{key}#{count}"
    entries[place] = state


def _checked_rate(lr: Any) -> Rate:
    if not isinstance(lr, Value):
        if not isinstance(lr, Number):
            hint = "" if isinstance(lr, str) else "; parameters are given to minimize or step"
            raise TypeError(f"lr: expected a number, got {lr!r:.40}{hint}")
        if not 0.0 <= lr < float("inf"):
            raise ValueError(f"lr: expected a finite number from 0, got {lr!r}")
        return float(lr)
    if lr.shape != ():
        raise ShapeError(f"lr: expected a scalar, got {lr.type}")
    if lr.dtype not in FLOATS:
        raise DTypeError(f"lr: expected a float, got {lr.type}")
    return lr


def check_range(name: str, value: float, below: float = 1.0) -> float:
    """A hyperparameter in [0, below)."""
    if not 0.0 <= value < below:
        raise ValueError(f"{name}: expected a number in [0, {below}), got {value!r}")
    return float(value)


def _checked_parameters(parameters: Iterable[State]) -> list[State]:
    """Each parameter once, in the order given."""
    if isinstance(parameters, Value) or not isinstance(parameters, Iterable):
        raise TypeError("parameters: expected an iterable of them, as in model.parameters() or [p]")
    unique = list(dict.fromkeys(parameters))
    for parameter in unique:
        if not isinstance(parameter, State):
            got = type(parameter).__name__
            raise TypeError(f"parameters: expected those of model.parameters(), got {got}")
    if not unique:
        raise ValueError("parameters: there are none to learn")
    return unique
