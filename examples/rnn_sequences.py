"""Sequences of different length, told apart by how fast they swing: an LSTM in both worlds.

A layer is a scan: one native loop when compiled, a Python loop when eager. Steps beyond a sequence's length
leave its state as it is. One function, compiled once, takes batches of any length.
"""

import time

import numpy as np

import symgraph as sg
from symgraph import nn, optim

CLASSES, LONGEST, HIDDEN = 4, 40, 32


def sequences(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy waves (steps, count, 2) of class-dependent frequency, their lengths, their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    lengths = rng.integers(LONGEST // 2, LONGEST + 1, size=count)
    phase = rng.uniform(0, 2 * np.pi, count) + np.outer(np.arange(LONGEST), 0.25 + 0.2 * labels)
    waves = np.stack([np.sin(phase), np.sign(np.cos(phase))], axis=2)
    noise = 0.3 * rng.standard_normal(waves.shape)
    return (waves + noise).astype(np.float32), lengths, labels


class Classifier(nn.Module):
    def __init__(self) -> None:
        self.lstm = nn.LSTM(2, HIDDEN)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x, lengths):
        _, (hidden, _) = self.lstm(x, lengths=lengths)
        return self.head(hidden[0])


def main() -> None:
    sg.seed(0)
    x = sg.input("x", ("time", "batch", 2))
    lengths = sg.input("lengths", ("batch",), dtype=sg.int64)
    labels = sg.input("labels", ("batch",), dtype=sg.int64)
    model = Classifier()
    logits = model(x, lengths)
    loss = nn.cross_entropy(logits, labels)
    updates = optim.Adam(1e-2).minimize(loss, model.parameters())
    step = sg.function([x, lengths, labels], loss, updates, training=True, name="step")
    predict = sg.function([x, lengths], logits, name="predict")

    rows, sizes, classes = sequences(1024, seed=1)
    for epoch in range(15):
        order = np.random.default_rng(epoch).permutation(len(classes))
        losses = []
        for batch in np.split(order, len(order) // 64):
            longest = sizes[batch].max()  # another number of steps, the same function
            losses.append(step(rows[:longest, batch], sizes[batch], classes[batch]))
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.3f}")

    rows, sizes, classes = sequences(500, seed=2)
    start = time.perf_counter()
    found = predict(rows, sizes)
    compiled = time.perf_counter() - start
    with sg.no_grad():
        start = time.perf_counter()
        eager = model(sg.tensor(rows), sizes)
        looped = time.perf_counter() - start
    np.testing.assert_allclose(found, eager.numpy(), rtol=1e-3, atol=1e-3)
    print(f"both worlds agree: compiled {1e3 * compiled:.1f} ms, a Python loop {1e3 * looped:.1f} ms")
    print(f"test accuracy {100 * np.mean(found.argmax(1) == classes):.1f}%")


if __name__ == "__main__":
    main()
