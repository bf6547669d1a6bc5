"""Recurrent layers compared with PyTorch: name -> how to make it in either namespace, its arguments' shapes.

`python tests/nn/recurrent_cases.py` with torch installed writes recurrent_reference.npz anew: for each case
the state dict, the arguments (input, then first states), the results, their upstream gradients, and the
gradients of the arguments and parameters. Cases named `lengths` are packed sequences of LENGTHS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).with_name("recurrent_reference.npz")
X = (5, 3, 4)

CASES = {
    "rnn": (lambda nn: nn.RNN(4, 6), [X]),
    "rnn_relu": (lambda nn: nn.RNN(4, 6, nonlinearity="relu", bias=False), [X, (1, 3, 6)]),
    "rnn_two_layers": (lambda nn: nn.RNN(4, 6, 2, bidirectional=True), [X, (4, 3, 6)]),
    "rnn_single": (lambda nn: nn.RNN(4, 6), [(5, 4), (1, 6)]),
    "lstm": (lambda nn: nn.LSTM(4, 6), [X]),
    "lstm_states": (lambda nn: nn.LSTM(4, 6, batch_first=True), [(3, 5, 4), (1, 3, 6), (1, 3, 6)]),
    "lstm_deep": (lambda nn: nn.LSTM(4, 6, 2, bidirectional=True, batch_first=True), [(3, 5, 4)]),
    "lstm_plain": (lambda nn: nn.LSTM(4, 6, bias=False), [(1, 3, 4)]),
    "gru": (lambda nn: nn.GRU(4, 6), [X]),
    "gru_deep": (lambda nn: nn.GRU(4, 6, 2, bidirectional=True), [X, (4, 3, 6)]),
    "gru_plain": (lambda nn: nn.GRU(4, 6, bias=False, batch_first=True), [(3, 5, 4)]),
    "rnn_lengths": (lambda nn: nn.RNN(4, 6, 2, bidirectional=True), [X]),
    "lstm_lengths": (lambda nn: nn.LSTM(4, 6, 2, bidirectional=True, batch_first=True), [(3, 5, 4)]),
    "gru_lengths": (lambda nn: nn.GRU(4, 6), [X, (1, 3, 6)]),
    "rnn_cell": (lambda nn: nn.RNNCell(4, 6), [(3, 4), (3, 6)]),
    "rnn_cell_relu": (lambda nn: nn.RNNCell(4, 6, nonlinearity="relu"), [(3, 4)]),
    "lstm_cell": (lambda nn: nn.LSTMCell(4, 6), [(3, 4), (3, 6), (3, 6)]),
    "lstm_cell_single": (lambda nn: nn.LSTMCell(4, 6, bias=False), [(4,)]),
    "gru_cell": (lambda nn: nn.GRUCell(4, 6), [(3, 4), (3, 6)]),
}
LENGTHS = np.array([5, 2, 4])


def flat(results) -> list:
    """Outputs, then states."""
    return [r for part in results for r in flat(part)] if isinstance(results, tuple) else [results]


def called(layer, arguments: list, **options):
    """States of an LSTM are a pair."""
    x, *states = arguments
    return layer(x, *((tuple(states),) if len(states) == 2 else states), **options)


def write_reference() -> None:
    import torch
    from torch.nn.utils import rnn

    def packed(layer, arguments):
        x, *states = arguments
        first = layer.batch_first
        lengths = torch.from_numpy(LENGTHS)
        x = rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        outputs, last = layer(x, *states)
        return rnn.pad_packed_sequence(outputs, batch_first=first, total_length=5)[0], last

    torch.manual_seed(0)
    found: dict[str, np.ndarray] = {}
    for name, (make, shapes) in CASES.items():
        layer = make(torch.nn)
        arguments = [torch.randn(s).requires_grad_() for s in shapes]
        for key, value in layer.state_dict().items():
            found[f"{name}/state/{key}"] = value.numpy().copy()
        results = flat(packed(layer, arguments) if "lengths" in name else called(layer, arguments))
        upstream = [torch.randn(r.shape) for r in results]
        torch.autograd.backward(results, upstream)
        for part, values in (("argument", arguments), ("result", results), ("upstream", upstream)):
            found |= {f"{name}/{part}/{i}": v.detach().numpy() for i, v in enumerate(values)}
        found |= {f"{name}/gradient/{i}": a.grad.numpy() for i, a in enumerate(arguments)}
        found |= {f"{name}/d/{key}": p.grad.numpy() for key, p in layer.named_parameters()}
    np.savez_compressed(REFERENCE, **found)


if __name__ == "__main__":
    write_reference()
