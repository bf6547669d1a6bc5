"""Recurrent layers over whole sequences: RNN, LSTM and GRU, with PyTorch's arguments, gates and weights."""

from __future__ import annotations

from typing import Any

from symgraph.errors import ShapeError
from symgraph.nn.dropout import Dropout
from symgraph.nn.module import Module
from symgraph.nn.recurrent_cells import FORMULAS, Cell, State, check_nonlinearity, new_weights, zeros
from symgraph.ops.function import lift_all, lift_like
from symgraph.ops.layout import concat, expand_dims, permute_dims, squeeze, stack
from symgraph.ops.logic import less, where
from symgraph.ops.reduce import arange
from symgraph.ops.scan import scan
from symgraph.types import INTEGERS, DType, float32

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Recurrent(Module):
    """Base of the layers.

    `forward(x, hx, lengths)`: x is (steps, batch, input_size), with `batch_first` (batch, steps, input_size),
    or (steps, input_size) for a single sequence. hx are the first states, (layers * directions, batch,
    hidden_size); None: zeros. `lengths`, (batch,) whole numbers: steps beyond a sequence's length leave its
    state as it is and give zeros. Returns the last layer's outputs and the last states. `dropout` is applied
    to the outputs of all layers but the last, in training.
    """

    def __init__(
        self, kind: str, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool,
        dropout: float, bidirectional: bool, dtype: DType,
    ):  # fmt: skip
        self.kind, self.input_size, self.hidden_size = kind, input_size, hidden_size
        self.num_layers, self.batch_first, self.bidirectional = num_layers, batch_first, bidirectional
        if num_layers < 1:
            raise ValueError(f"num_layers is at least 1, not {num_layers!r}")
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else hidden_size * len(self._directions)
            for suffix in self._directions:
                for name, weight in new_weights(kind, inputs, hidden_size, bias, dtype).items():
                    setattr(self, f"{name}_l{layer}{suffix}", weight)
        self.dropout = Dropout(dropout)

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _run(self, x: Any, states: State | None, lengths: Any) -> tuple[Any, State]:
        given = lift_all((x, *(states or ())))
        x, single = given[0], given[0].ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            shape = f"({'batch, steps' if self.batch_first else 'steps, batch'}, {self.input_size})"
            raise ShapeError(f"{self.label}: expected {shape}, got {x.type}")
        first = [expand_dims(v, 1) for v in given[1:]] if single else list(given[1:])
        turned = self.batch_first and not single
        rows = expand_dims(x, 1) if single else permute_dims(x, (1, 0, 2)) if turned else x
        first = first or self._zeros(rows)
        self._check(first, rows)
        rows, last = self._layers(rows, first, self._mask(rows, lengths))
        if single:
            return squeeze(rows, 1), tuple(squeeze(v, 1) for v in last)
        return permute_dims(rows, (1, 0, 2)) if turned else rows, last

    def _zeros(self, rows: Any) -> list[Any]:
        shape = (self.num_layers * len(self._directions), rows.shape[1], self.hidden_size)
        return [zeros(self._weights(0, "")[1], shape, rows)] * FORMULAS[self.kind][1]

    def _weights(self, layer: int, suffix: str) -> list[Any]:
        return [getattr(self, f"{name}_l{layer}{suffix}") for name in NAMES]

    def _check(self, first: list[Any], rows: Any) -> None:
        wanted = (self.num_layers * len(self._directions), rows.shape[1], self.hidden_size)
        for state in first:
            if state.shape != wanted:
                raise ShapeError(f"{self.label}: expected first states {list(wanted)}, got {state.type}")

    def _mask(self, rows: Any, lengths: Any) -> Any:
        """(steps, batch, 1): whether a step lies within its sequence."""
        if lengths is None:
            return None
        lengths = lift_like(lengths, (rows, lengths))
        if lengths.dtype not in INTEGERS or lengths.shape != (rows.shape[1],):
            raise ShapeError(f"{self.label}: lengths are whole numbers, one a sequence, got {lengths.type}")
        steps = expand_dims(arange(rows.shape[0], rows), 1)
        return expand_dims(less(steps, expand_dims(lengths, 0)), 2)

    def _layers(self, rows: Any, first: list[Any], mask: Any) -> tuple[Any, State]:
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout.p:
                rows = self.dropout(rows)
            outputs = []
            for suffix in self._directions:
                cell = Cell(self.kind, *self._weights(layer, suffix))
                state = tuple(v[len(last)] for v in first)
                state, ys = _loop(cell, rows, state, mask, reverse=suffix == "_reverse")
                outputs.append(ys)
                last.append(state)
            rows = concat(outputs, 2)
        return rows, tuple(stack(parts) for parts in zip(*last, strict=True))

    def extra_repr(self) -> str:
        more = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        both = ", bidirectional=True" if self.bidirectional else ""
        return f"{self.input_size}, {self.hidden_size}{more}{both}"


def _loop(cell: Cell, rows: Any, first: State, mask: Any, reverse: bool) -> tuple[State, Any]:
    """One layer in one direction: the last state and the outputs of all steps."""

    def body(state: State, row: tuple[Any, Any]) -> tuple[State, Any]:
        given, inside = row
        new = cell.step(given, state)
        if inside is None:
            return new, new[0]
        kept = tuple(where(inside, a, b) for a, b in zip(new, state, strict=True))
        return kept, where(inside, new[0], 0.0)

    return scan(body, first, (cell.given(rows), mask), reverse=reverse)


class RNN(_Recurrent):
    """h_t = tanh(W x_t + b + U h_t-1 + c), or relu (Elman 1990). See the base for shapes."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        dtype: DType = float32,
    ):  # fmt: skip
        check_nonlinearity(nonlinearity)
        super().__init__(
            nonlinearity, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype,
        )  # fmt: skip

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        outputs, (last,) = self._run(x, None if hx is None else (hx,), lengths)
        return outputs, last


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014). See the base for shapes."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, dtype: DType = float32,
    ):  # fmt: skip
        super().__init__(
            "gru", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        outputs, (last,) = self._run(x, None if hx is None else (hx,), lengths)
        return outputs, last


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); states are pairs (h, c). See the base."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, dtype: DType = float32,
    ):  # fmt: skip
        super().__init__(
            "lstm", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        )

    def forward(
        self, x: Any, hx: tuple[Any, Any] | None = None, lengths: Any = None
    ) -> tuple[Any, tuple[Any, Any]]:
        outputs, (hidden, memory) = self._run(x, hx, lengths)
        return outputs, (hidden, memory)
