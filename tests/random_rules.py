"""How a random program grows: each rule writes one expression over values that exist, or gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from symgraph.dimension import Extent, Shape
from symgraph.errors import ShapeError
from symgraph.types import FLOATS, INTEGERS, DType, TensorType, bool_, int64
from symgraph.value import broadcast_shapes
from tests.random_program import Leaf

DIMS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65)
UNARY = (
    "sg.tanh({x})", "sg.exp({x})", "sg.sigmoid({x})", "sg.sin({x})", "sg.cos({x})", "sg.erf({x})",
    "sg.expm1({x})", "sg.sqrt(sg.abs({x}) + 0.1)", "sg.log(sg.abs({x}) + 0.5)", "sg.log1p(sg.abs({x}))",
    "sg.rsqrt({x} * {x} + 0.3)", "nn.relu({x})", "nn.leaky_relu({x}, negative_slope=0.2)", "nn.elu({x})",
    "nn.selu({x})", "nn.softplus({x})", "nn.gelu({x})", "nn.gelu({x}, approximate='tanh')",
    "nn.silu({x})", "-{x}", "sg.abs({x})", "sg.square({x})", "{x} ** 3", "1.0 / ({x} * {x} + 0.5)",
    "sg.clip({x}, min=-0.7, max=0.8)", "sg.sign({x})", "sg.floor({x})", "{x} * 0.5 + 1.0", "1.0 - {x}",
    "sg.pow(sg.abs({x}) + 0.2, 1.7)", "sg.stop_gradient({x}) * {x}", "{x} / 4.0", "{x} + 0.0",
    "{x} * 1.0", "-(-{x})", "sg.zeros_like({x}) - {x}", "sg.full_like({x}, 2) * {x}",
    "sg.full_like({x}, 3)",
)  # fmt: skip
BINARY = (
    "{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} / ({y} * {y} + 0.5)", "sg.maximum({x}, {y})",
    "sg.minimum({x}, {y})", "sg.where({x} > {y}, {x}, {y} * 2.0)", "sg.where({x} <= 0.1, 0.3, {y})",
    "{x} + (-{y})", "{x} - (-{y})",
)  # fmt: skip
REDUCTIONS = ("sum", "mean", "var", "max", "min", "logsumexp", "std", "prod")
NORMS = (
    "nn.softmax({x}, axis={a})", "nn.log_softmax({x}, axis={a})",
    "({x} - sg.mean({x}, axis={a}, keepdims=True)) / sg.sqrt(sg.var({x}, axis={a}, keepdims=True) + 0.01)",
    "{x} / (sg.sum(sg.abs({x}), axis={a}, keepdims=True) + 0.1)",
    "sg.exp({x} - sg.max({x}, axis={a}, keepdims=True))",
    "{x} * sg.rsqrt(sg.mean({x} * {x}, axis={a}, keepdims=True) + 0.01)",
    "{x} - sg.mean({x}, axis={a}, keepdims=True)",
)  # fmt: skip


@dataclass
class Growing:
    """Values so far, and the random choices about them."""

    rng: np.random.Generator
    dtype: DType
    dims: tuple[Extent, ...]
    leaves: list[Leaf] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    fresh: list[Leaf] = field(default_factory=list)  # leaves that the expression being written brings along

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def pick(self, test: Callable[[TensorType], bool]) -> str | None:
        """A value that passes; later ones more often, so that graphs grow deep."""
        names = [name for name, kind in self.types.items() if test(kind)]
        if not names:
            return None
        return names[max(self.rng.integers(len(names)), self.rng.integers(len(names)))]

    def a_float(self, least_rank: int = 0) -> str | None:
        return self.pick(lambda t: t.dtype in FLOATS and t.rank >= least_rank)

    def leaf(self, shape: Shape, dtype: DType | None = None, high: int = 5) -> str:
        """A new leaf of this shape: a parameter where the shape is static, mostly."""
        letter, kind = "x", "input"
        if dtype is None and all(isinstance(e, int) for e in shape) and self.chance(0.6):
            letter, kind = ("w", "parameter") if self.chance(0.7) else ("s", "state")
        known = sum(1 for leaf in (*self.leaves, *self.fresh) if leaf.name[0] == letter)
        kind_of = TensorType(tuple(shape), dtype or self.dtype)
        made = Leaf(f"{letter}{known}", kind, kind_of, high)  # pyright: ignore[reportArgumentType]
        self.fresh.append(made)
        return made.name

    def axis(self, name: str) -> int:
        rank = self.types[name].rank
        return int(self.rng.integers(-rank, rank))


Rule = Callable[[Growing], str | None]


def unary(g: Growing) -> str | None:
    x = g.a_float()
    return x and g.one_of(UNARY).format(x=x)


def binary(g: Growing) -> str | None:
    x = g.a_float()
    if x is None:
        return None
    y = g.pick(lambda t: t.dtype in FLOATS and _broadcast(g.types[x].shape, t.shape))
    if y is None or g.chance(0.15):
        shape = g.types[x].shape
        y = g.leaf(shape[int(g.rng.integers(len(shape) + 1)) :])
    pair = (x, y) if g.chance(0.5) else (y, x)
    return g.one_of(BINARY).format(x=pair[0], y=pair[1])


def _broadcast(x: Shape, y: Shape) -> bool:
    try:
        broadcast_shapes("", [x, y])
    except ShapeError:
        return False
    return True


def reduction(g: Growing) -> str | None:
    x = g.a_float(1)
    if x is None:
        return None
    rank = g.types[x].rank
    chosen = sorted(g.rng.choice(rank, int(g.rng.integers(1, rank + 1)), replace=False).tolist())
    axis = "None" if g.chance(0.1) else str(tuple(chosen)) if len(chosen) > 1 else str(chosen[0])
    keep = ", keepdims=True" if g.chance(0.3) else ""
    return f"sg.{g.one_of(REDUCTIONS)}({x}, axis={axis}{keep})"


def norm(g: Growing) -> str | None:
    x = g.a_float(1)
    if x is None:
        return None
    kind = g.types[x]
    if g.chance(0.45):
        axis = g.axis(x)
        axes = (
            f"({axis % kind.rank}, {(axis + 1) % kind.rank})"
            if kind.rank > 1 and g.chance(0.2)
            else str(axis)
        )
        text = g.one_of(NORMS)
        return text.format(x=x, a=axis if "nn." in text else axes)
    return _library_norm(g, x, kind)


def _library_norm(g: Growing, x: str, kind: TensorType) -> str | None:
    choices = ["layer_norm", "rms_norm"]
    if kind.rank >= 2:
        choices += ["batch_norm", "batch_norm"]
    if kind.rank >= 3:
        choices += ["instance_norm", "group_norm"]
    chosen = g.one_of(choices)
    extent = kind.shape[-1 if chosen in ("layer_norm", "rms_norm") else 1]
    count = 0 if not isinstance(extent, int) or g.chance(0.4) else 1 if chosen == "rms_norm" else 2
    weights = "".join(f", {g.leaf((extent,))}" for _ in range(count))
    if chosen == "group_norm":
        return f"nn.group_norm({x}, 1{weights})"
    return f"nn.{chosen}({x}{weights})"


def matmul(g: Growing) -> str | None:
    x = g.a_float(1)
    if x is None:
        return None
    inner = g.types[x].shape[-1]
    y = g.pick(lambda t: t.dtype in FLOATS and t.rank >= 1 and t.shape[max(t.rank - 2, 0)] == inner)
    if y is None or g.chance(0.5):
        if not isinstance(inner, int):
            return None
        y = g.leaf((inner, g.one_of([d for d in g.dims if isinstance(d, int)] or [3])))
    if g.chance(0.2) and g.types[x].rank == 2:
        return f"{x} @ {x}.T" if g.chance(0.5) else f"{x}.T @ {x}"
    bias = f" + {g.leaf((g.fresh[-1].type.shape[-1],))}" if g.fresh and g.chance(0.5) else ""
    return f"{x} @ {y}{bias}"


def window(g: Growing) -> str | None:
    """Convolutions and poolings of images and series, with whatever settings fit."""
    x = g.pick(lambda t: t.dtype in FLOATS and 3 <= t.rank <= 4 and all(_is_large(e) for e in t.shape[1:]))
    if x is None or g.chance(0.5):
        lengths = [d for d in g.dims if isinstance(d, int) and 2 <= d <= 9] or [5]
        spatial = [g.one_of(lengths) for _ in range(g.one_of([1, 2]))]
        x = g.leaf((g.one_of(g.dims), g.one_of([1, 2, 3, 8]), *spatial))
        kind = g.fresh[-1].type
    else:
        kind = g.types[x]
    spatial = [e for e in kind.shape[2:] if isinstance(e, int)]
    size = tuple(int(g.rng.integers(1, min(e, 4) + 1)) for e in spatial)
    return _convolved(g, x, kind, size) if g.chance(0.5) else _pooled(g, x, size)


def _is_large(extent: Extent) -> bool:
    return isinstance(extent, int) and 1 <= extent <= 65


def _settings(g: Growing, size: tuple[int, ...]) -> str:
    stride = tuple(int(g.rng.integers(1, 4)) for _ in size)
    padding = tuple(int(g.rng.integers(0, k // 2 + 1)) for k in size)
    return f"stride={stride}, padding={padding}"


def _convolved(g: Growing, x: str, kind: TensorType, size: tuple[int, ...]) -> str:
    channels = kind.shape[1]
    assert isinstance(channels, int)
    groups = g.one_of([1, 1, channels, *(d for d in (2, 3) if channels % d == 0)])
    each, out = channels // groups, groups * int(g.rng.integers(1, 4))
    rank = len(size)
    settings = _settings(g, size) if g.chance(0.7) else f"padding='same', dilation={g.one_of([1, 2])}"
    if g.chance(0.3) and "same" not in settings:
        w = g.leaf((channels, out // groups, *size))
        return f"nn.conv_transpose{rank}d({x}, {w}, groups={groups}, dilation={g.one_of([1, 2])}, {settings})"
    w = g.leaf((out, each, *size))
    bias = f", {g.leaf((out,))}" if g.chance(0.4) else ""
    return f"nn.conv{rank}d({x}, {w}{bias}, groups={groups}, {settings})"


def _pooled(g: Growing, x: str, size: tuple[int, ...]) -> str:
    rank, ceil = len(size), g.chance(0.3)
    settings = f"size={size}, {_settings(g, size)}, ceil_mode={ceil}"
    if g.chance(0.5):
        return f"nn.max_pool{rank}d({x}, {settings})"
    return f"nn.avg_pool{rank}d({x}, {settings}, count_include_pad={g.chance(0.5)})"


def layout(g: Growing) -> str | None:
    x = g.a_float()
    if x is None:
        return None
    kind = g.types[x]
    choices = [_broadcast_up, _expanded]
    if kind.rank:
        choices += [_joined, _joined, _sliced, _sliced, _flat, _flipped, _padded]
    if kind.rank >= 2:
        choices += [_permuted, _permuted]
    return g.one_of(choices)(g, x, kind)


def _broadcast_up(g: Growing, x: str, kind: TensorType) -> str | None:
    y = g.pick(
        lambda t: _broadcast(kind.shape, t.shape) and broadcast_shapes("", [kind.shape, t.shape]) == t.shape
    )
    return f"sg.broadcast_to({x}, {y}.shape)"


def _expanded(g: Growing, x: str, kind: TensorType) -> str | None:
    return f"sg.expand_dims({x}, {int(g.rng.integers(kind.rank + 1))})"


def _joined(g: Growing, x: str, kind: TensorType) -> str | None:
    axis = g.axis(x) % kind.rank
    y = g.pick(lambda t: t.dtype == kind.dtype and t.rank == kind.rank and all(
        i == axis or a == b for i, (a, b) in enumerate(zip(kind.shape, t.shape, strict=True))))  # fmt: skip
    same = [n for n, t in g.types.items() if t == kind]
    if g.chance(0.3):
        return f"sg.stack([{x}, {g.one_of(same)}], axis={g.axis(x)})"
    return f"sg.concat([{x}, {y}{', ' + x if g.chance(0.2) else ''}], axis={axis})"


def _sliced(g: Growing, x: str, kind: TensorType) -> str | None:
    parts = []
    for extent in kind.shape:
        static = isinstance(extent, int)
        choices = [":", ":"]
        choices += ["1:", ":-1", "::-1"] if not static or extent > 1 else []
        choices += ["::2", "1::3", "-2:", "0", "-1", "::-2"] if static and extent > 2 else []
        parts.append(g.one_of(choices))
    return f"{x}[{', '.join(parts)}]"


def _flat(g: Growing, x: str, kind: TensorType) -> str | None:
    if kind.rank >= 2 and g.chance(0.5):
        return f"sg.reshape({x}, (-1, {x}.shape[-1]))"
    last = kind.shape[-1]
    if isinstance(last, int) and last % 2 == 0 and last and g.chance(0.5):
        return f"sg.reshape({x}, (*{x}.shape[:-1], {last // 2}, 2))"
    return f"sg.reshape({x}, (-1,))"


def _flipped(g: Growing, x: str, kind: TensorType) -> str | None:
    return f"sg.flip({x}, {g.axis(x)})" if g.chance(0.5) else f"{x} + sg.flip({x}, {g.axis(x)})"


def _padded(g: Growing, x: str, kind: TensorType) -> str | None:
    widths = [tuple(int(v) for v in g.rng.integers(0, 3, 2)) for _ in kind.shape]
    return f"sg.pad({x}, {widths}, {g.one_of(['0', '0.5'])})"


def _permuted(g: Growing, x: str, kind: TensorType) -> str | None:
    return f"sg.permute_dims({x}, {tuple(int(i) for i in g.rng.permutation(kind.rank))})"


def choice(g: Growing) -> str | None:
    """Indices, conditions, casts, integers."""
    return g.one_of([_taken, _scattered, _chosen, _cast, _ranked, _whole, _embedded, _drawn])(g)


def _index(g: Growing, shape: Shape, high: int) -> str:
    return g.leaf(shape, g.one_of(INTEGERS), high)


def _taken(g: Growing) -> str | None:
    x = g.pick(
        lambda t: t.rank >= 1 and t.dtype != bool_ and any(isinstance(e, int) and e > 0 for e in t.shape)
    )
    if x is None:
        return None
    shape = g.types[x].shape
    axis = g.one_of([i for i, e in enumerate(shape) if isinstance(e, int) and e > 0])
    extent = shape[axis]
    assert isinstance(extent, int)
    places = _index(g, g.one_of([(), (3,), (g.one_of(g.dims),), (2, 2)]), extent)
    return f"sg.take({x}, {places}, axis={axis})"


def _embedded(g: Growing) -> str | None:
    rows, width = g.one_of([3, 7, 17]), g.one_of([d for d in g.dims if isinstance(d, int)] or [3])
    return f"sg.take({g.leaf((rows, width))}, {_index(g, (g.one_of(g.dims),), rows)})"


def _scattered(g: Growing) -> str | None:
    x = g.a_float(1)
    if x is None:
        return None
    rows = g.one_of([1, 4, 9])
    shape = g.types[x].shape
    return f"sg.scatter_add({x}, {_index(g, shape[:1], rows)}, ({rows}, *{x}.shape[1:]))"


def _chosen(g: Growing) -> str | None:
    x = g.a_float()
    test = g.pick(lambda t: t.dtype == bool_ and x is not None and _broadcast(t.shape, g.types[x].shape))
    return x and (f"sg.where({test}, {x}, 0.25)" if test else f"{x} {g.one_of(['>', '<=', '!=', '>='])} 0.1")


def _cast(g: Growing) -> str | None:
    x = g.pick(lambda t: True)
    return x and f"sg.cast({x}, sg.{g.dtype})"


def _drawn(g: Growing) -> str | None:
    """A random mask or noise, from a key and a counter that are inputs."""
    x = g.a_float()
    if x is None:
        return None
    key, counter = g.leaf((), int64, 2**40), g.leaf((), int64, 9)
    numbers = f"random_uniform({key}, {counter}, shape={x}.shape, dtype=sg.{g.dtype})"
    return f"sg.where({numbers} < 0.7, {x} * 1.25, 0.0)" if g.chance(0.6) else f"{x} + {numbers}"


def _ranked(g: Growing) -> str | None:
    x = g.a_float(1)
    return x and f"sg.{g.one_of(['argmax', 'argmin'])}({x}, axis={g.axis(x)})"


def _whole(g: Growing) -> str | None:
    x = g.pick(lambda t: t.dtype in INTEGERS)
    if x is None:
        return _index(g, (g.one_of(g.dims),), 9)
    return g.one_of(
        ["{x} * 3 - 1", "{x} // 2", "{x} % 3", "-{x}", "sg.maximum({x}, 2)", "sg.sum({x})", "{x} ^ 5"]
    ).format(x=x)


# Of a carry h, a row r, something captured c of their shape, and a square matrix w.
STEPS = (
    "sg.tanh(h * 0.5 + r), sg.sin(h) * r",
    "h * 0.5 + sg.tanh(r * {c}), sg.sigmoid(h - r)",
    "{c} - sg.tanh(h) * r, (h + {c}, sg.sum(sg.exp(r - sg.max(r))))[0]",
    "sg.where(r > 0, h * 0.7, r), nn.softmax(h + r, axis=-1)",
    "nn.layer_norm(h + r), sg.mean(h * r, axis=-1, keepdims=True) * r",
)
PRODUCTS = (
    "sg.tanh(h @ {w} * 0.3 + r), h",
    "sg.tanh(r @ {w} * 0.3 + h), (h * r) @ {w}",
    "sg.tanh(sg.scan(lambda a, b: (a * 0.5 + b, a), r[..., 0], h @ {w} * 0.1)[0] + h), r @ {w}",
)


def scanned(g: Growing) -> str | None:
    x = g.a_float(2)
    if x is None:
        return None
    kind = g.types[x]
    row = kind.shape[1:]
    size = row[-1]
    same = g.pick(lambda t: t.shape == row and t.dtype == kind.dtype)
    h = same if same is not None and g.chance(0.5) else g.leaf(row)
    step = g.one_of(PRODUCTS if isinstance(size, int) and g.chance(0.5) else STEPS)
    if "sg.scan" in step and not (len(row) == 2 and row[0] == row[1]):
        step = PRODUCTS[0]
    w = g.leaf((size, size)) if "{w}" in step else ""
    c = g.leaf(row) if "{c}" in step else ""
    options = ", reverse=True" if g.chance(0.3) else ""
    text = f"sg.scan(lambda h, r: ({step.format(w=w, c=c)}), {h}, {x}{options})"
    both = f"(lambda found: found[0] + found[1])({text})"
    return g.one_of([f"{text}[0]", f"{text}[1]", f"{text}[1]", both])


# How often each is tried: elementwise 30 %, norms and reductions 26 %, products 17 %, layout 14 %, loops 4 %,
# the rest 9 %.
RULES: tuple[tuple[float, Rule], ...] = (
    (0.13, unary), (0.17, binary), (0.13, reduction), (0.13, norm),
    (0.08, matmul), (0.09, window), (0.14, layout), (0.09, choice), (0.04, scanned),
)  # fmt: skip
