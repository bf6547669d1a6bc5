"""What a convolution slides over: memory behind views, its padding known as numbers rather than as tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.loop.grammar import Expr, Index
from compiler.lower.access import MERGED, Access, Position
from compiler.lower.contraction_problem import Indices, step_along
from compiler.lower.window import Window
from compiler.views import follow, is_view
from symgraph.dimension import Extent
from symgraph.graph import Node
from symgraph.ops.layout import PAD

PROBE = Index("probe.unit")


@dataclass(frozen=True, slots=True)
class Source:
    """`node` is [images, *spatial, channels]. `padded`: windows reach beyond it, where zeros are."""

    node: Node
    windows: tuple[Window, ...]
    padded: bool
    access: Access

    @staticmethod
    def of(
        operand: Node,
        outputs: Sequence[Extent],
        size: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        access: Access,
        phased: bool,
    ) -> Source:
        """`phased`: zeros between the elements may be told as phases, else they are read as they are."""
        inner = _without_padding(operand, phased and set(stride) == {1})
        node = operand if inner is None else inner
        widths = [(0, 0, 0)] * len(outputs) if inner is None else operand.attrs["widths"][1:-1]
        windows = tuple(
            Window(
                source=node.type.shape[1 + axis], outputs=outputs[axis], size=size[axis], stride=stride[axis],
                dilation=dilation[axis], before=before, between=between,
            )
            for axis, (before, _, between) in enumerate(widths)
        )
        return Source(node, windows, inner is not None, access)

    def read(self, image: Expr, places: Indices, channel: Expr) -> Expr:
        return self.access.read(self.node, [image, *places, channel])

    def read_merged(self, image: Expr, places: Indices, flat: Expr) -> Expr:
        """The same by the number of an element among those of the last spatial axis and the channels."""
        position: Position = [image, *places, MERGED, flat]
        return self.access.read(self.node, position)

    @property
    def merges(self) -> bool:
        """Whether the last spatial axis and the channels lie in memory as one axis."""
        reading = follow(self.node)
        last = self.node.type.rank - 1
        side_by_side = reading.axes is not None and reading.axes[-2:] == (last - 1, last)
        return side_by_side and not is_view(reading.source)

    @property
    def along_space(self) -> bool:
        """Whether neighbours along the last spatial axis, not the channels, are neighbours in memory."""
        spatial = [Index(f"probe.{axis}") for axis in range(len(self.windows) - 1)]
        image, other = Index("probe.image"), Index("probe.other")
        if self.node.type.shape[-1] == 1:
            return True
        by_channel = self.read(image, (*spatial, other), PROBE)
        by_place = self.read(image, (*spatial, PROBE), other)
        return step_along(by_channel, PROBE.name) != 1 and step_along(by_place, PROBE.name) == 1


def _without_padding(operand: Node, phased: bool) -> Node | None:
    """What stands inside zeros along the spatial axes; None where there are none to leave out."""
    if operand.op is not PAD or operand.attrs["value"] != 0:
        return None
    widths = operand.attrs["widths"]
    apart = any(between for _, _, between in widths)
    if widths[0] != (0, 0, 0) or widths[-1] != (0, 0, 0) or (apart and not phased):
        return None
    return operand.inputs[0]
