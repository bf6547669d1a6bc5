"""The user's line: where a value was written down, kept by every node through every rewrite."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = tuple(f"{_ROOT / name}/" for name in ("symgraph", "compiler"))
# Users of the package like any other, though they come with it.
_PROGRAMS = tuple(f"{_ROOT / name}/" for name in ("symgraph/train", "symgraph/bench"))


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's program: file, 1-based line number, enclosing function."""

    filename: str
    line: int
    function: str

    @property
    def source(self) -> str:
        """The text of the line, or "" where the file cannot be read (an interactive prompt)."""
        return linecache.getline(self.filename, self.line).strip()

    def __str__(self) -> str:
        place = f"{Path(self.filename).name}:{self.line}"
        return place if self.function == "<module>" else f"{place} in {self.function}"

    def quote(self) -> str:
        """`train.py:14 in model      h = x @ w2`, as errors show it."""
        source = self.source
        return f"{self}      {source}" if source else str(self)


UNKNOWN = Location("<unknown>", 0, "<module>")

_current: list[Location] = []
_is_ours: dict[CodeType, bool] = {}


def here() -> Location:
    """The innermost line outside symgraph, or the one a pass works for (see `standing_at`)."""
    if _current:
        return _current[-1]
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        ours = _is_ours.get(code)
        if ours is None:
            ours = _is_ours.setdefault(code, _inside(code.co_filename))
        if not ours:
            return Location(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return UNKNOWN


def _inside(filename: str) -> bool:
    return filename.startswith(_PACKAGES) and not filename.startswith(_PROGRAMS)


@contextmanager
def standing_at(location: Location) -> Iterator[None]:
    """Nodes made inside get this location: what a pass makes stays at the line it was made for."""
    _current.append(location)
    try:
        yield
    finally:
        _current.pop()
