"""Handwritten digits: train, check, draw, save, export. `symgraph demo` does the same in both worlds.

The images are scikit-learn's, from the extra `demo`.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import symgraph as sg
from symgraph import nn, optim

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "digits-output")
folder.mkdir(parents=True, exist_ok=True)

pixels, labels = load_digits(return_X_y=True)
images = (pixels / 16).astype(np.float32)
(X, Y), (X_test, Y_test) = sg.data.split(images, labels.astype(np.int64), fraction=0.8, seed=0)

sg.seed(0)
model = nn.Sequential(
    nn.Linear(64, 128, bias=False), nn.BatchNorm(128), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(128, 64, bias=False), nn.BatchNorm(64), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(64, 10),
)  # fmt: skip
x = sg.input("x", ("batch", 64))
y = sg.input("y", ("batch",), dtype=sg.int64)
logits = model(x)
loss = nn.cross_entropy(logits, y)
updates = optim.Adam(3e-3).minimize(loss, model.parameters())

step = sg.function([x, y], loss, updates, training=True, name="step")
predict = sg.function([x], nn.softmax(logits), name="digits")

for epoch in range(12):
    losses = [step(xb, yb) for xb, yb in sg.data.batches(X, Y, size=64, shuffle=True, seed=epoch)]
    print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}")
accuracy = np.mean(predict(X_test).argmax(axis=1) == Y_test)
print(f"test accuracy {accuracy:.2%}")

step.draw(folder / "step.svg")  # forward, backward, updates, and what was fused
predict.save(folder / "digits.safetensors")  # sg.load compiles it again, without this script
predict.export(folder, name="digits")  # .o .h .a .so: no Python, no library
library = sg.load_library(folder / "libdigits.so")
assert (library(X_test).argmax(axis=1) == predict(X_test).argmax(axis=1)).all()
print("written:", ", ".join(sorted(path.name for path in folder.iterdir())))
