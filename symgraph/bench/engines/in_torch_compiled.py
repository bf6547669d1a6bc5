"""The rows in PyTorch with torch.compile, that is Inductor, which needs a C++ compiler."""

from __future__ import annotations

from symgraph.bench.engines import in_torch
from symgraph.bench.problems import Prepared


def prepare(name: str, threads: int) -> Prepared:
    return in_torch.prepare(name, threads, compiled=True)
