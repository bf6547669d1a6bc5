"""The contractions of a convolution's three passes, from the nodes of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from compiler.llvm.target import Target
from compiler.loop.grammar import Buffer, Expr, Index
from compiler.lower.access import MERGED, ZERO, Access, Position
from compiler.lower.contraction_problem import Epilogue, Indices, KernelStep, step_along
from compiler.lower.convolution import convolution
from compiler.lower.convolution_problem import Convolution
from compiler.lower.convolution_weight import convolution_weight
from compiler.lower.weight_problem import WeightGradient
from compiler.lower.window_source import PROBE, Source
from compiler.views import constant_behind, follow, is_view
from symgraph.dimension import Extent, divide
from symgraph.graph import Node


def convolution_steps(
    root: Node,
    access: Access,
    epilogue: Epilogue,
    buffers: Sequence[Buffer],
    dims: tuple[str, ...],
    target: Target,
) -> tuple[KernelStep, ...]:
    """Kernels of y[n, o, co] = sum of x[n, o * stride + k * dilation, c] * w[k, c, co]."""
    x, w = root.inputs
    images, *outputs, channels_out = root.type.shape
    size = tuple(int(e) for e in w.type.shape[:-2] if isinstance(e, int))
    groups, channels = root.attrs["groups"], w.type.shape[-2]
    source = Source.of(
        x, outputs, size, root.attrs["stride"], root.attrs["dilation"], access, phased=True
    )
    separate, n = _separated(groups, channels, channels_out)

    def right(taps: Indices, c: Expr, channel: Expr) -> Expr:
        return access.read(w, [*taps, c, channel])

    def right_flat(depth: Expr, channel: Expr) -> Expr:
        position: Position = [*([MERGED] * len(size)), depth, channel]
        return access.read(w, position)

    return convolution(
        Convolution(
            name="kernel",
            buffers=buffers,
            extents=dims,
            dtype=root.type.dtype,
            target=target,
            images=images,
            windows=source.windows,
            groups=1 if separate else groups,
            channels=channels,
            n=n,
            separate=separate,
            source=source,
            right=right,
            right_flat=right_flat if is_memory(w) else None,
            right_unit=_unit(access, w),
            right_known=constant_behind(w) is not None,
            epilogue=epilogue,
        )
    )


def weight_steps(
    root: Node,
    access: Access,
    epilogue: Epilogue,
    buffers: Sequence[Buffer],
    dims: tuple[str, ...],
    target: Target,
) -> tuple[KernelStep, ...]:
    """Kernels of w[k, c, co] = sum of x[n, o * stride + k * dilation, c] * g[n, o, co]."""
    x, g = root.inputs
    images, *outputs, channels_out = g.type.shape
    size, groups, channels = root.attrs["size"], root.attrs["groups"], root.type.shape[-2]
    source = Source.of(
        x, outputs, size, root.attrs["stride"], root.attrs["dilation"], access, phased=False
    )
    separate, n = _separated(groups, channels, channels_out)

    def gradient(place: Indices, channel: Expr) -> Expr:
        return access.read(g, [*place, channel])

    probes = tuple(Index(f"probe.{axis}") for axis in range(g.type.rank - 1))
    return convolution_weight(
        WeightGradient(
            name="kernel",
            buffers=buffers,
            extents=dims,
            dtype=root.type.dtype,
            target=target,
            images=images,
            groups=1 if separate else groups,
            channels=channels,
            n=n,
            separate=separate,
            source=source,
            gradient=gradient,
            in_place=step_along(gradient(probes, PROBE), PROBE.name) == 1,
            epilogue=epilogue,
        )
    )


def _separated(groups: int, channels: Extent, channels_out: Extent) -> tuple[int, Extent]:
    """How many output channels read each input channel where groups have one, else 0; and the output channels
    of a group, or of all groups where they are separate."""
    if groups > 1 and channels == 1 and isinstance(channels_out, int):
        return channels_out // groups, channels_out
    n = divide(channels_out, groups)
    assert n is not None, "the op's inference holds groups to divisors of the channels"
    return 0, n


def is_memory(operand: Node) -> bool:
    """Whether the operand is memory as it is, not seen through a view that moves anything."""
    reading = follow(operand)
    return not is_view(reading.source) and reading.axes == tuple(range(operand.type.rank))


def _unit(access: Access, w: Node) -> Literal["k", "n", None]:
    """The index of w[*taps, c, co] along which it walks memory one by one."""
    taps: list[Expr] = [ZERO] * (w.type.rank - 2)
    other = Index("probe.other")
    if step_along(access.read(w, [*taps, other, PROBE]), PROBE.name) == 1:
        return "n"
    return "k" if step_along(access.read(w, [*taps, PROBE, other]), PROBE.name) == 1 else None
