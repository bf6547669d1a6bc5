"""The same program is the same code and gives the same bits: in every process, on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn

PROGRAM = """
import hashlib, sys
import numpy as np, symgraph as sg
from symgraph import nn, optim
sg.seed(3)
x, y = sg.input("x", ("n", 20)), sg.input("y", ("n",), sg.int64)
first, last = nn.Linear(20, 33), nn.Linear(33, 5)
model = nn.Sequential(first, nn.BatchNorm(33), nn.ReLU(), nn.Dropout(0.3), nn.LayerNorm(33), last)
loss = nn.cross_entropy(model(x), y)
updates = optim.Adam(1e-2).minimize(loss, model.parameters())
step = sg.function([x, y], loss, updates=updates, training=True, threads=int(sys.argv[1]))
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for _ in range(20):
    digest.update(step(rng.standard_normal((257, 20)).astype(np.float32), rng.integers(0, 5, 257)).tobytes())
for name, value in model.state_dict().items():
    digest.update(np.asarray(value).tobytes())
print(hashlib.sha256(step.text("llvm").encode()).hexdigest(), digest.hexdigest())
"""


def test_hash_seeds_and_threads_change_nothing():
    found = set()
    for hash_seed, threads in (("0", 1), ("1", 2), ("77", 4)):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "SYMGRAPH_CACHE": "0"}
        command = [sys.executable, "-c", PROGRAM, str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert not done.stderr, done.stderr
        found.add(done.stdout)
    assert len(found) == 1, "\n".join(found)


ROWWISE = {
    "elementwise": lambda x: nn.gelu(x) * sg.exp(-x),
    "layer norm": lambda x: nn.layer_norm(x),
    "softmax": lambda x: nn.softmax(x),
    "log_softmax of a norm": lambda x: nn.log_softmax(nn.rms_norm(x) * 3.0),
    "row sums": lambda x: sg.sum(x, axis=1, keepdims=True) + sg.mean(x, axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("width", [1, 17, 64, 1000])
def test_a_row_does_not_depend_on_the_rows_beside_it(name, width):
    """Products are left out: their blocking depends on the number of rows."""
    x = sg.input("x", ("n", width))
    f = sg.function([x], ROWWISE[name](x))
    batch = np.random.default_rng(0).standard_normal((37, width)).astype(np.float32)
    whole = f(batch)
    for row in (0, 1, 17, 36):
        np.testing.assert_array_equal(f(batch[row : row + 1])[0], whole[row])


def test_two_functions_of_one_graph_agree_bit_by_bit():
    x = sg.input("x", ("n", 64))
    y = nn.softmax(
        nn.batch_norm(x @ sg.constant(np.random.default_rng(1).standard_normal((64, 33)).astype("f")))
    )
    batch = np.random.default_rng(2).standard_normal((129, 64)).astype(np.float32)
    first, second = (sg.function([x], y, name=name, threads=t)(batch) for name, t in (("a", 1), ("b", 2)))
    np.testing.assert_array_equal(first, second)
