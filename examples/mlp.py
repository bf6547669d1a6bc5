"""A classifier in twenty lines: written once, compiled with its backward pass and its optimizer, trained."""

import numpy as np

import symgraph as sg
from symgraph import nn, optim

sg.seed(0)
X = np.random.default_rng(0).standard_normal((1000, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)  # the four quadrants, coloured like a chessboard

x = sg.input("x", ("batch", 2))
y = sg.input("y", ("batch",), dtype=sg.int64)
model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
logits = model(x)
loss = nn.cross_entropy(logits, y)

step = sg.function([x, y], loss, updates=optim.Adam(0.02).minimize(loss, model.parameters()), training=True)
predict = sg.function([x], nn.softmax(logits))

for _ in range(20):
    for xb, yb in sg.data.batches(X, Y, size=64, shuffle=True, seed=0):
        last = step(xb, yb)
print(f"loss {last:.3f}, accuracy {np.mean(predict(X).argmax(axis=1) == Y):.1%}")
