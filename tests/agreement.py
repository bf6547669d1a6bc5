"""When two results agree: exactly for integers, within what rounding explains for floats."""

from __future__ import annotations

import numpy as np

from symgraph.graph import Node, topological
from symgraph.ops.convolution import CONVOLUTION
from symgraph.ops.layout import PAD
from symgraph.types import DType, float32

# Worst case of a float64 result against the oracle, relative to the result's size.
DOUBLE = 1e-10


def disagreement(
    got: np.ndarray,
    eager: np.ndarray,
    exact: np.ndarray,
    *,
    precision: DType | None = None,
    spread: np.ndarray | float = 0.0,
    units: float = 8.0,
) -> str:
    """Why `got` is wrong, or "" where it is right.

    float32: the error may be four times numpy's own, plus 8 `units` in the last place of the result's root
    mean square, plus 8 times what noise of that precision did to the exact result (`spread`). float64:
    1e-10 of the result's size in place of the units. NaN and infinities stand exactly where numpy has them.
    `precision` is the coarsest float type on the way, where that is not the result's own.
    """
    if got.shape != eager.shape or got.dtype != eager.dtype:
        return f"expected {eager.dtype}{list(eager.shape)}, got {got.dtype}{list(got.shape)}"
    if got.shape != exact.shape:
        return f"the oracle says shape {list(exact.shape)}, got {list(got.shape)}"
    if got.dtype.kind != "f":
        return _different_integers(got, eager)
    masks = different_masks(got, eager)
    if masks:
        return masks
    if not got.size:
        return ""
    finite = np.isfinite(got) & np.isfinite(exact)
    if not finite.any():
        return ""
    wide = got.astype(np.float64)
    size = float(np.sqrt(np.mean(np.square(exact[finite]))))
    coarse = (precision or got.dtype) == float32
    unit = units * float(np.finfo(np.float32).eps) if coarse else DOUBLE
    own = np.abs(eager.astype(np.float64) - exact)[finite]
    allowed = (
        4 * own.max()
        + unit * max(size, float(np.finfo(got.dtype).tiny))
        + 8 * np.broadcast_to(spread, got.shape)[finite]
    )
    error = np.abs(wide - exact)[finite]
    if np.all(error <= allowed):
        return ""
    worst = int(np.argmax(error - allowed))
    return (
        f"error {error[worst]:.3g} where {allowed[worst]:.3g} is allowed: got {wide[finite][worst]!r}, "
        f"eager {eager[finite][worst]!r}, exact {exact[finite][worst]!r}"
    )


def different_masks(got: np.ndarray, eager: np.ndarray) -> str:
    """NaN against NaN, +inf against +inf, -inf against -inf."""
    kinds = {"NaN": np.isnan, "inf": np.isposinf, "-inf": np.isneginf}
    for name, test in kinds.items():
        wrong = test(got) != test(eager)
        if wrong.any():
            place = tuple(int(i[0]) for i in np.nonzero(wrong)) if got.ndim else ()
            return f"{name} differs at {place}: got {got[place]!r}, eager {eager[place]!r}"
    return ""


def _different_integers(got: np.ndarray, eager: np.ndarray) -> str:
    wrong = np.asarray(got != eager)
    if not wrong.any():
        return ""
    place = tuple(int(i[0]) for i in np.nonzero(wrong)) if got.ndim else ()
    return f"differs at {place}: got {got[place]!r}, eager {eager[place]!r}"


def meets_spaced_zeros(result: Node) -> bool:
    """Whether a result depends on a convolution of elements set apart among zeros, as the gradient of a
    strided one does. Native code skips these zeros, as PyTorch does; numpy multiplies: 0 * inf is NaN."""
    apart = (n.inputs[0] for n in topological([result]) if n.op is CONVOLUTION and n.inputs[0].op is PAD)
    return any(between for pad in apart for _, _, between in pad.attrs["widths"])
