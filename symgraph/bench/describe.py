"""What a compiled function has to do, and where its time goes: bytes and flops of a call, and its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

import symgraph as sg


def describe(function: sg.Function, arrays: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """Figures of one call: sums over its launches, then each launch, slowest first.

    `working_set` is all memory that a call touches: inputs, outputs, arena and states.
    """
    profile = function.profile(*arrays, calls=9)
    launches = sorted(profile.launches, key=lambda t: -t.seconds)
    return {
        "bytes": sum(t.bytes for t in launches),
        "flops": sum(t.flops for t in launches),
        "working_set": profile.working_set,
        "kernels": function.report().kernels,
        "launches": [
            {"title": t.title, "line": t.line, "seconds": t.seconds, "bytes": t.bytes, "flops": t.flops}
            for t in launches
        ],
    }
