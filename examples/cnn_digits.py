"""A small convolutional network on handwritten digits: eager and compiled, equal step by step.

Two times convolution, batch norm, ReLU and pooling. To the model this says: what matters is local, the same
wherever it stands, and a small shift changes nothing. The images are scikit-learn's, from the extra `demo`.
"""

import time

import numpy as np

import symgraph as sg
from symgraph import nn, optim
from symgraph.train import digits

data = digits.load()
X, X_test = (a.reshape(-1, 1, 8, 8) for a in (data.images, data.test_images))
Y, Y_test = data.labels, data.test_labels


def network() -> nn.Module:
    sg.seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 2 * 2, 10),
    )  # fmt: skip


# The static world: symbols first, one compiled function for a whole step.
compiled = network()
x = sg.input("x", ("batch", 1, 8, 8))
y = sg.input("y", ("batch",), dtype=sg.int64)
logits = compiled(x)
loss = nn.cross_entropy(logits, y)
updates = optim.Adam(3e-3).minimize(loss, compiled.parameters())
step = sg.function([x, y], loss, updates, training=True, name="step")
predict = sg.function([x], logits, name="predict")

# The eager world: arrays from the start, the graph is whatever ran.
eager = network()
adam = optim.Adam(3e-3)


def eager_step(images: np.ndarray, labels: np.ndarray) -> float:
    found = nn.cross_entropy(eager(images), labels)
    adam.minimize(found, eager.parameters())
    return found.item()


batches = list(sg.data.batches(X, Y, size=64, shuffle=True, seed=0))
for images, labels in batches:
    np.testing.assert_allclose(step(images, labels), eager_step(images, labels), rtol=2e-3)
print(f"one epoch: both worlds agree, {len(batches)} steps")

seconds = {}
for world, run in (("eager", eager_step), ("compiled", step)):
    start = time.perf_counter()
    for epoch in range(1, 3 if world == "eager" else 12):
        for images, labels in sg.data.batches(X, Y, size=64, shuffle=True, seed=epoch):
            run(images, labels)
    seconds[world] = (time.perf_counter() - start) / (epoch * len(batches))
print(", ".join(f"{world} {1e3 * s:.2f} ms a step" for world, s in seconds.items()))

accuracy = np.mean(predict(X_test).argmax(axis=1) == Y_test)
print(f"test accuracy {accuracy:.2%}")
shifted = np.roll(X_test, 1, axis=3)
moved = np.mean(predict(shifted).argmax(axis=1) == Y_test)
print(f"one pixel to the right, which it never saw: {moved:.2%}")

report = step.report()
copies = [kernel for kernel in report.launches if kernel.title == "copy"]
print(f"{report.kernels} kernels in {len(report.launches)} launches, {len(copies)} of them copies")
