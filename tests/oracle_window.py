"""The oracle's convolutions and poolings: one window after the other, channels last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Sizes = tuple[int, ...]


def _windows(extents: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple[Sizes, tuple]]:
    """(where a window's result stands, the slices that cut the window out of [N, *S, C])."""
    counts = [
        (e - ((k - 1) * d + 1)) // s + 1 for e, k, s, d in zip(extents, size, stride, dilation, strict=True)
    ]
    for at in np.ndindex(*counts):
        axes = zip(at, size, stride, dilation, strict=True)
        cuts = (slice(a * s, a * s + (k - 1) * d + 1, d) for a, k, s, d in axes)
        yield at, (slice(None), *cuts, slice(None))


def _counts(extents: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    *_, (last, _) = _windows(extents, size, stride, dilation)
    return tuple(at + 1 for at in last)


def convolution(x: np.ndarray, w: np.ndarray, *, stride: Sizes, dilation: Sizes, groups: int) -> np.ndarray:
    size = w.shape[:-2]
    spread = _by_group(w, groups)
    out = np.zeros((len(x), *_counts(x.shape[1:-1], size, stride, dilation), w.shape[-1]))
    for at, cut in _windows(x.shape[1:-1], size, stride, dilation):
        out[(slice(None), *at)] = np.tensordot(x[cut], spread, len(size) + 1)
    return out


def _by_group(w: np.ndarray, groups: int) -> np.ndarray:
    """[*K, C, Co] with zeros where a channel lies in another group."""
    *size, each, out = w.shape
    full = np.zeros((*size, each * groups, out))
    for group in range(groups):
        mine = slice(group * (out // groups), (group + 1) * (out // groups))
        full[..., group * each : (group + 1) * each, mine] = w[..., mine]
    return full


def convolution_weight(
    x: np.ndarray, g: np.ndarray, *, stride: Sizes, dilation: Sizes, groups: int, size: Sizes
) -> np.ndarray:
    full = np.zeros((*size, x.shape[-1], g.shape[-1]))
    for at, cut in _windows(x.shape[1:-1], size, stride, dilation):
        full += np.tensordot(x[cut], g[(slice(None), *at)], ((0,), (0,)))
    each, out = x.shape[-1] // groups, g.shape[-1] // groups
    parts = [
        full[..., i * each : (i + 1) * each, i * out : (i + 1) * out] for i in range(groups)
    ]
    return np.concatenate(parts, axis=-1)


def _pooled(x: np.ndarray, size: Sizes, stride: Sizes, function: Callable[..., np.ndarray]) -> np.ndarray:
    """function(elements of a window [N, taps, C]) -> [N, C], for every window."""
    ones = (1,) * len(size)
    counts = _counts(x.shape[1:-1], size, stride, ones)
    taps = (len(x), int(np.prod(size)), x.shape[-1])
    windows = _windows(x.shape[1:-1], size, stride, ones)
    found = [function(x[cut].reshape(taps), at) for at, cut in windows]
    return np.moveaxis(np.array(found), 0, 1).reshape(len(x), *counts, x.shape[-1])


def window_max(x: np.ndarray, *, size: Sizes, stride: Sizes) -> np.ndarray:
    return _pooled(x, size, stride, lambda taps, at: taps.max(axis=1))


def window_sum(x: np.ndarray, *, size: Sizes, stride: Sizes) -> np.ndarray:
    return _pooled(x, size, stride, lambda taps, at: taps.sum(axis=1))


def window_argmax(x: np.ndarray, *, size: Sizes, stride: Sizes) -> np.ndarray:
    """The first of equal maxima; of several NaN the last."""

    def place(taps: np.ndarray, at: Sizes) -> np.ndarray:
        last = taps.shape[1] - 1 - np.isnan(taps)[:, ::-1].argmax(axis=1)
        return np.where(np.isnan(taps).any(axis=1), last, taps.argmax(axis=1))

    return _pooled(x, size, stride, place)


def window_take(x: np.ndarray, position: np.ndarray, *, size: Sizes, stride: Sizes) -> np.ndarray:
    def taken(taps: np.ndarray, at: Sizes) -> np.ndarray:
        which = position[(slice(None), *at)][:, None]
        return np.take_along_axis(taps, which, 1)[:, 0]

    return _pooled(x, size, stride, taken)


def window_spread(g: np.ndarray, *, size: Sizes, stride: Sizes, extents: Sizes) -> np.ndarray:
    out = np.zeros((len(g), *extents, g.shape[-1]))
    for at, cut in _windows(extents, size, stride, (1,) * len(size)):
        out[cut] += g[(slice(None), *at)].reshape(len(g), *(1,) * len(size), g.shape[-1])
    return out


def window_put(
    g: np.ndarray, position: np.ndarray, *, size: Sizes, stride: Sizes, extents: Sizes
) -> np.ndarray:
    out = np.zeros((len(g), *extents, g.shape[-1]))
    for at, cut in _windows(extents, size, stride, (1,) * len(size)):
        chosen = np.zeros((len(g), int(np.prod(size)), g.shape[-1]))
        which, value = position[(slice(None), *at)][:, None], g[(slice(None), *at)][:, None]
        np.put_along_axis(chosen, which, value, 1)
        out[cut] += chosen.reshape(len(g), *size, g.shape[-1])
    return out


MEANING = {
    f.__name__: f
    for f in (
        convolution, convolution_weight, window_max, window_sum, window_argmax, window_take, window_spread,
        window_put,
    )
}  # fmt: skip
