"""What an operation is: declared once, interpreted by the static world, the eager world and the compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from symgraph.types import TensorType

Attrs = Mapping[str, Any]
Infer = Callable[..., TensorType]
Rule = Callable[..., Any]


class Kind(Enum):
    """How an op relates positions of its output to positions of its inputs. Lowering is per kind."""

    SOURCE = "source"  # input, constant, state, extent: no inputs
    ELEMENTWISE = "elementwise"
    REDUCTION = "reduction"
    CONTRACTION = "contraction"
    LAYOUT = "layout"  # every output element is one input element, or padding
    GATHER = "gather"
    SCATTER = "scatter"
    WINDOW = "window"
    RANDOM = "random"
    SCAN = "scan"
    COMPOSITE = "composite"  # a name for a small graph; expanded by a pass
    PHASE = "phase"  # training or inference; resolved by the first pass
    REQUEST = "request"  # a gradient asked for; replaced by the chain rule


@dataclass(eq=False, slots=True)
class Op:
    """A declaration. Compared by identity; `name` is unique.

    infer(*input_types, **attrs) -> TensorType; raises ShapeError or DTypeError.
    evaluate(*arrays, **attrs) -> ndarray: numpy semantics, the eager world.
    body: a scalar formula `body(k, *scalars, **attrs)` (elementwise, random), the reducer's name
        (reduction), a Window (pooling), the graph it stands for (composite), how many products
        `body(*types, **attrs)` a result is the sum of (contraction); None where the kind says all.
    vjp(*inputs, y, g, **attrs): the gradient of each input (None: no gradient), given output y and
        its gradient g, written with operators on values of either world.
    """

    name: str
    kind: Kind
    infer: Infer
    evaluate: Callable[..., Any] | None = None
    body: Any = None
    vjp: Rule | None = None
    doc: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(f"op {self.name!r} is declared twice")
        REGISTRY[self.name] = self

    def __repr__(self) -> str:
        return f"Op({self.name})"


REGISTRY: dict[str, Op] = {}
