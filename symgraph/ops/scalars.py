"""The small language `k` of scalar formulas, as numpy runs it in the eager world.

The compiler has the same names over loop-IR expressions (compiler/lower/scalars.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symgraph import special
from symgraph.types import DType


class NumpyScalars:
    """Every function works elementwise on arrays of one dtype."""

    abs = staticmethod(np.abs)
    sqrt = staticmethod(np.sqrt)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    tanh = staticmethod(np.tanh)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    floor = staticmethod(np.floor)
    round = staticmethod(np.rint)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    where = staticmethod(np.where)
    equal = staticmethod(np.equal)
    not_equal = staticmethod(np.not_equal)
    erf = staticmethod(special.erf)
    sigmoid = staticmethod(special.expit)

    @staticmethod
    def rsqrt(x: Any) -> Any:
        return x.dtype.type(1) / np.sqrt(x)

    @staticmethod
    def pow(x: Any, y: Any) -> Any:
        return np.power(x, y)

    @staticmethod
    def divide(x: Any, y: Any) -> Any:
        return np.divide(x, y)

    @staticmethod
    def floor_divide(x: Any, y: Any) -> Any:
        return np.floor_divide(x, y)

    @staticmethod
    def logical_not(x: Any) -> Any:
        return np.logical_not(x)

    @staticmethod
    def cast(x: Any, dtype: DType) -> Any:
        return cast_array(np.asarray(x), dtype)

    @staticmethod
    def shift_right(x: Any, places: int) -> Any:
        """Bring in zeros from the left, whatever the sign."""
        unsigned = np.asarray(x).view(np.uint64 if x.dtype == np.int64 else np.uint32)
        return (unsigned >> unsigned.dtype.type(places)).view(x.dtype)

    @staticmethod
    def constant(value: float, dtype: DType) -> Any:
        return dtype.type(value)


def cast_array(x: np.ndarray, dtype: DType) -> np.ndarray:
    """Float to int truncates and saturates, NaN becomes 0, as the compiled code does."""
    if dtype.kind == "i" and x.dtype.kind == "f":
        info = np.iinfo(dtype)
        # The largest float below 2^31 or 2^63; beyond it numpy's own cast is undefined.
        inside = (x >= float(info.min)) & (x < -float(info.min))
        safe = np.where(inside, x, 0).astype(dtype)
        limit = np.where(x > 0, info.max, info.min).astype(dtype)
        return np.where(inside | np.isnan(x), safe, limit)
    return x.astype(dtype)


NUMPY = NumpyScalars()
