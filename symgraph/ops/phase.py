"""What depends on training or inference, and state that a model carries from call to call.

In the static world these are nodes that the first pass resolves; eagerly they act at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from symgraph.eager import State, no_grad
from symgraph.op import Kind, Op
from symgraph.symbol import Symbol
from symgraph.value import Value

_serial = itertools.count()

PHASE = Op(
    "phase",
    Kind.PHASE,
    infer=lambda training, inference: training,
    vjp=lambda training, inference, out, g: (g, g),
    doc="The first operand when a function trains, the second when it predicts.",
)
READ = Op(
    "read",
    Kind.PHASE,
    infer=lambda state, *, serial: state,
    vjp=lambda state, out, g, *, serial: g,
    doc="A state as one call of a module sees it: after the changes of calls with a smaller serial.",
)
CARRY = Op(
    "carry",
    Kind.PHASE,
    infer=lambda value, new, read, *, state, always: value,
    vjp=lambda value, new, read, out, g, *, state, always: (g, None, None),
    doc="The first operand; running it also gives `state` the second operand as its new value.",
)


def by_phase(
    x: Value, module_trains: bool, training: Callable[[], Value], inference: Callable[[], Value]
) -> Value:
    """Both branches for a Symbol (the function chooses), the module's own branch for a Tensor."""
    if isinstance(x, Symbol):
        return Symbol.apply(PHASE, (training(), inference()), {})
    return training() if module_trains else inference()


def read(state: State, like: Value) -> Value:
    """The state in `like`'s world, to compute its next value from."""
    return read_node(state) if isinstance(like, Symbol) else state


def read_node(state: Value) -> Symbol:
    """The state as whoever reads it next in the program sees it."""
    return Symbol.apply(READ, (state,), {"serial": next(_serial)})


def carry(value: Value, state: State, seen: Value, new: Value, always: bool = False) -> Value:
    """`value`; and `state`, which was seen as `seen`, becomes `new` - when training, or always."""
    if isinstance(value, Symbol):
        return Symbol.apply(CARRY, (value, new, seen), {"state": state, "always": always})
    with no_grad():
        state.assign(new)
    return value
