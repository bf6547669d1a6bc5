"""A profile as one HTML file: a flame graph of lines, modules and kernels, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from compiler.probes import Limits
from compiler.timed import Timed
from symgraph.words import duration


@dataclass(slots=True)
class Box:
    """A rectangle as wide as its seconds, over those that it consists of."""

    label: str
    tip: str
    launches: list[Timed] = field(default_factory=list)
    below: dict[str, Box] = field(default_factory=dict)

    def child(self, label: str, tip: str) -> Box:
        return self.below.setdefault(label, Box(label, tip))

    @property
    def seconds(self) -> float:
        return sum(launch.seconds for launch in self.launches)


def page_of(name: str, launches: Sequence[Timed], limits: Limits) -> str:
    """The whole file. Kernels stand under the module that owns their first parameter, where there is one."""
    root = tree(name, launches)
    legend = (
        f"{duration(root.seconds)} in {len(launches)} launches. Width is time. "
        f'<b style="background:{_colour(True, 0.8)}">memory</b> and '
        f'<b style="background:{_colour(False, 0.8)}">arithmetic</b> say what bounds a kernel; the darker, '
        f"the closer to that bound ({limits.bandwidth * 1e-9:.0f} GB/s, {limits.flops * 1e-9:.0f} GFLOP/s, "
        "measured here). Click a box to widen it, the first one to go back."
    )
    body = f"<h1>{escape(name)}</h1><p>{legend}</p>{_flame(root, limits)}{_table(launches, limits)}"
    head = f'<meta charset="utf-8"><title>{escape(name)}: profile</title><style>{STYLE}</style>'
    body += f"<script>{SCRIPT}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def tree(name: str, launches: Sequence[Timed]) -> Box:
    """Lines in order of first launch; under each its modules, under these their kernels."""
    root = Box(name, "the whole call")
    for number, launch in enumerate(launches):
        path = [root, root.child(f"{launch.line}  {launch.source}".rstrip(), "")]
        owner = launch.parameters[0].rpartition(".")[0] if launch.parameters else ""
        if owner:
            path.append(path[-1].child(owner, "module"))
        path.append(path[-1].child(f"{number} {launch.title}", ", ".join(launch.parameters)))
        for box in path:
            box.launches.append(launch)
    return root


def _flame(root: Box, limits: Limits) -> str:
    """Nested boxes, written without recursion."""
    parts = ['<div class="flame">']
    waiting: list[Box | str] = [root]
    while waiting:
        box = waiting.pop()
        if isinstance(box, str):
            parts.append(box)
            continue
        share = max(box.seconds * 1e6, 1e-3)
        parts.append(f'<div class="node" style="flex:{share:.3f} 1 0">{_face(box, limits)}')
        if box.below:
            parts.append('<div class="below">')
        waiting += ["</div></div>" if box.below else "</div>", *reversed(box.below.values())]
    return "".join([*parts, "</div>"])


def _face(box: Box, limits: Limits) -> str:
    flops, moved = sum(t.flops for t in box.launches), sum(t.bytes for t in box.launches)
    label = box.label if box.below else box.label.partition(" ")[2]
    rates = f"{duration(box.seconds)}, {_rate(flops, box.seconds)} GFLOP/s, {_rate(moved, box.seconds)} GB/s"
    tip = "\n".join(part for part in (label, box.tip, rates) if part)
    paint = "" if box.below else f' style="background:{_paint(box.launches[0], limits)}"'
    style = "line" if box.below else "kernel"
    return f'<div class="{style}" title="{escape(tip)}"{paint}>{escape(label)}</div>'


def _table(launches: Sequence[Timed], limits: Limits) -> str:
    total = sum(t.seconds for t in launches) or 1.0
    head = ("kernel", "what", "line", "time", "share", "GFLOP/s", "GB/s", "bound by", "of the bound")
    rows = []
    for t in sorted(launches, key=lambda t: -t.seconds):
        bound = "memory" if limits.bound_by_memory(t.flops, t.bytes) else "arithmetic"
        cells = (
            t.kernel, t.title, t.line, duration(t.seconds), f"{t.seconds / total:.1%}",
            _rate(t.flops, t.seconds), _rate(t.bytes, t.seconds), bound, f"{_closeness(t, limits):.0%}",
        )  # fmt: skip
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _rate(amount: int, seconds: float) -> str:
    """In units of 10^9 per second."""
    return f"{1e-9 * amount / seconds:.1f}" if seconds else "-"


def _closeness(launch: Timed, limits: Limits) -> float:
    """The least time that its work needs, as a share of the time that it took."""
    return limits.seconds(launch.flops, launch.bytes) / launch.seconds if launch.seconds else 0.0


def _paint(launch: Timed, limits: Limits) -> str:
    return _colour(limits.bound_by_memory(launch.flops, launch.bytes), _closeness(launch, limits))


def _colour(memory: bool, closeness: float) -> str:
    hue, lightness = (212 if memory else 24), 92 - 34 * min(max(closeness, 0.0), 1.0)
    return f"hsl({hue} 80% {lightness:.0f}%)"


STYLE = """
body { margin: 20px; font: 13px/1.4 "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; color: #1f2933; }
h1 { font-size: 17px; margin: 0 0 4px; } p { max-width: 75em; margin: 0 0 12px; }
b { font-weight: normal; padding: 1px 5px; border-radius: 3px; }
.flame { display: flex; } .node { min-width: 0; overflow: hidden; } .below { display: flex; }
.node > div:first-child { height: 22px; line-height: 22px; margin: 0 1px 1px 0; padding: 0 4px;
  overflow: hidden; white-space: nowrap; text-overflow: ellipsis; border-radius: 2px; cursor: pointer; }
.line { background: #e4e8ec; } .kernel { font-size: 12px; } .hidden { display: none; }
table { border-collapse: collapse; margin-top: 24px; font-size: 12px; }
th, td { text-align: right; padding: 2px 9px; border-bottom: 1px solid #e4e8ec; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; }
td:nth-child(2) { max-width: 42em; }
"""

SCRIPT = """
document.querySelectorAll(".node").forEach(node => node.firstChild.addEventListener("click", () => {
  document.querySelectorAll(".hidden").forEach(n => n.classList.remove("hidden"));
  for (let n = node; n.classList.contains("node"); n = n.parentNode.parentNode)
    for (const other of n.parentNode.children) if (other !== n) other.classList.add("hidden");
}));
"""
