"""The lecture's recurrent cell: the graph is built while it runs, and backward walks it back.

Then the same formula as a static graph, compiled: the two worlds give the same numbers.
"""

import numpy as np

import symgraph as sg
from symgraph import ones, tanh


def randn(*shape):
    return sg.randn(*shape, requires_grad=True)


sg.seed(0)

# As on the slide.
x, prev_h = randn(1, 10), randn(1, 20)
W_h, W_x = randn(20, 20), randn(20, 10)
i2h = W_x @ x.T
h2h = W_h @ prev_h.T
next_h = tanh(i2h + h2h)
next_h.backward(ones(20, 1))

print("dL/dW_h:", W_h.grad.shape, " dL/dW_x:", W_x.grad.shape)


def cell(x, prev_h, W_h, W_x):
    next_h = tanh(W_x @ x.T + W_h @ prev_h.T)
    return {"next_h": next_h, "gradients": sg.grad(sg.sum(next_h), [W_h, W_x])}


values = [v.numpy() for v in (x, prev_h, W_h, W_x)]
compiled = sg.trace(cell, *(v.shape for v in values))
result = compiled(*values)
for eager, static in zip((next_h, W_h.grad, W_x.grad), (result["next_h"], *result["gradients"]), strict=True):
    np.testing.assert_allclose(static, eager, rtol=1e-5, atol=1e-6)
print("both worlds agree;", len(compiled.report().launches), "kernels")
