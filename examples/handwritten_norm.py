"""A normalization written by hand is fused like the built-in one: what counts is structure, not a name.

Layer norm with a learnt temperature instead of gamma and beta, with a residual and a GELU around it.
"""

import numpy as np

import symgraph as sg
from symgraph import nn


def block(x, residual, temperature):
    centered = x - sg.mean(x, axis=1, keepdims=True)
    deviation = sg.sqrt(sg.mean(centered * centered, axis=1, keepdims=True) + 1e-5)
    return nn.gelu(residual + centered / deviation * temperature)


x = sg.input("x", ("batch", 256))
residual = sg.input("residual", ("batch", 256))
temperature = nn.Parameter(np.float32(2.0), name="temperature")
y = block(x, residual, temperature)

forward = sg.function([x, residual], y, name="forward")
backward = sg.function([x, residual], sg.grad(sg.sum(y * y), [x, residual, temperature]), name="backward")
print(forward.report())
print(backward.report())

# The same function on eager tensors.
rng = np.random.default_rng(0)
a, b = (rng.standard_normal((7, 256)).astype(np.float32) for _ in range(2))
tensors = [sg.tensor(array, requires_grad=True) for array in (a, b)]
eager = block(*tensors, temperature)
(eager * eager).sum().backward()
np.testing.assert_allclose(forward(a, b), eager, rtol=1e-4, atol=1e-5)
for compiled, leaf in zip(backward(a, b), (*tensors, temperature), strict=True):
    np.testing.assert_allclose(compiled, leaf.grad, rtol=1e-3, atol=1e-4)
print("both worlds agree")
