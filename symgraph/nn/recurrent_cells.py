"""One step of a recurrent network: the cells, and the formulas that cells and whole layers share.

Gates stand in PyTorch's order, so its weights fit: LSTM i, f, g, o; GRU r, z, n. A formula takes what comes
from the input, W x + b, already added up: a layer computes that for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgraph.dimension import Shape
from symgraph.eager import Parameter
from symgraph.errors import ShapeError
from symgraph.nn import init
from symgraph.nn.module import Module
from symgraph.ops.activation import relu, sigmoid
from symgraph.ops.casting import zeros_like
from symgraph.ops.elementary import tanh
from symgraph.ops.function import lift_all, lift_like
from symgraph.ops.layout import broadcast_to, expand_dims, matrix_transpose, squeeze
from symgraph.ops.linear import matmul
from symgraph.types import DType, float32

State = tuple[Any, ...]
Formula = Callable[[Any, Any, State], State]


def _plain(activation: Callable[[Any], Any]) -> Formula:
    def step(given: Any, recurrent: Any, state: State) -> State:
        """h' = activation(W x + b + U h)."""
        return (activation(given + recurrent),)

    return step


def _lstm(given: Any, recurrent: Any, state: State) -> State:
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c') (Hochreiter and Schmidhuber 1997)."""
    i, f, g, o = _gates(given + recurrent, 4)
    memory = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(memory), memory


def _gru(given: Any, recurrent: Any, state: State) -> State:
    """h' = (1 - z) tanh(n_x + sigmoid(r) n_h) + sigmoid(z) h (Cho et al. 2014, as PyTorch has it)."""
    reset_x, update_x, new_x = _gates(given, 3)
    reset_h, update_h, new_h = _gates(recurrent, 3)
    update = sigmoid(update_x + update_h)
    new = tanh(new_x + sigmoid(reset_x + reset_h) * new_h)
    return (new + update * (state[0] - new),)


def _gates(value: Any, count: int) -> list[Any]:
    size = value.shape[-1] // count
    return [value[..., k * size : (k + 1) * size] for k in range(count)]


# name: (gates, values of the state, formula, whether both biases may be added up before the step)
FORMULAS: dict[str, tuple[int, int, Formula, bool]] = {
    "tanh": (1, 1, _plain(tanh), True),
    "relu": (1, 1, _plain(relu), True),
    "lstm": (4, 2, _lstm, True),
    "gru": (3, 1, _gru, False),
}


class Cell:
    """The weights of one direction of one layer, and its formula on them."""

    def __init__(self, kind: str, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any):
        _, self.states, self.formula, self.joint = FORMULAS[kind]
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = weight_ih, weight_hh, bias_ih, bias_hh

    def given(self, x: Any) -> Any:
        """W x + b, of one step or of many."""
        product = matmul(x, matrix_transpose(lift_like(self.weight_ih, (x, self.weight_ih))))
        if self.bias_ih is None:
            return product
        return product + (self.bias_ih + self.bias_hh if self.joint else self.bias_ih)

    def step(self, given: Any, state: State) -> State:
        recurrent = matmul(state[0], matrix_transpose(lift_like(self.weight_hh, (given, self.weight_hh))))
        if self.bias_hh is not None and not self.joint:
            recurrent = recurrent + self.bias_hh
        return self.formula(given, recurrent, state)


def new_weights(kind: str, inputs: int, hidden: int, bias: bool, dtype: DType) -> dict[str, Parameter | None]:
    """Uniform in +-1/sqrt(hidden), as PyTorch's."""
    gates = FORMULAS[kind][0]
    bound = hidden**-0.5 if hidden else 0.0
    shapes = {"weight_ih": (gates * hidden, inputs), "weight_hh": (gates * hidden, hidden)}
    biases = {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
    drawn = {**shapes, **biases} if bias else shapes
    made = {name: Parameter(init.uniform(s, -bound, bound, dtype)) for name, s in drawn.items()}
    return {name: made.get(name) for name in (*shapes, *biases)}


def zeros(weight: Any, shape: Shape, like: Any) -> Any:
    """Zeros of the weight's dtype in `like`'s world."""
    return broadcast_to(zeros_like(lift_like(weight, (like, weight)))[:1, :1], shape)


class _RecurrentCell(Module):
    """Base of the cells. x is (batch, input_size) or (input_size,); no state is a state of zeros."""

    def __init__(self, kind: str, input_size: int, hidden_size: int, bias: bool, dtype: DType):
        self.kind, self.input_size, self.hidden_size = kind, input_size, hidden_size
        for name, weight in new_weights(kind, input_size, hidden_size, bias, dtype).items():
            setattr(self, name, weight)

    def _next(self, x: Any, state: State | None) -> State:
        given = lift_all((x, *(state or ())))
        x, single = given[0], given[0].ndim == 1
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(f"{self.label}: expected (batch, {self.input_size}), got {x.type}")
        rows, *old = (expand_dims(v, 0) if single else v for v in given)
        cell = Cell(self.kind, *(getattr(self, n) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        if state is None:
            old = [zeros(cell.weight_hh, (rows.shape[0], self.hidden_size), rows)] * cell.states
        new = cell.step(cell.given(rows), tuple(old))
        return tuple(squeeze(v, 0) for v in new) if single else new

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_RecurrentCell):
    """h' = tanh(W x + b + U h + c); `nonlinearity="relu"` for relu."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        dtype: DType = float32,
    ):  # fmt: skip
        check_nonlinearity(nonlinearity)
        super().__init__(nonlinearity, input_size, hidden_size, bias, dtype)

    def forward(self, x: Any, hx: Any = None) -> Any:
        return self._next(x, None if hx is None else (hx,))[0]


class LSTMCell(_RecurrentCell):
    """(h', c') from x and (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: DType = float32):
        super().__init__("lstm", input_size, hidden_size, bias, dtype)

    def forward(self, x: Any, hx: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        hidden, memory = self._next(x, hx)
        return hidden, memory


class GRUCell(_RecurrentCell):
    """h' from x and h."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: DType = float32):
        super().__init__("gru", input_size, hidden_size, bias, dtype)

    def forward(self, x: Any, hx: Any = None) -> Any:
        return self._next(x, None if hx is None else (hx,))[0]


def check_nonlinearity(name: str) -> None:
    if name not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity is 'tanh' or 'relu', not {name!r}")
