"""A writer of LLVM IR text: one function body at a time, values and labels numbered as they come."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

POINTER_32 = ("wasm32", "i386", "i586", "i686", "arm", "thumb", "riscv32", "mips-", "mipsel")


def size_type(triple: str) -> str:
    """The IR type of size_t."""
    return "i32" if triple.startswith(POINTER_32) and not triple.startswith("arm64") else "i64"


class Writer:
    """Lines of one function. `value` names a result, `label` makes a block's name.

    Both begin with a dot, which no argument's name does: those are C identifiers made from the user's.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        self._count += 1
        name = f"%.v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def label(self, stem: str) -> str:
        self._count += 1
        return f".{stem}{self._count}"

    def block(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: str, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")

    def require(self, condition: str, otherwise: str) -> None:
        """Go on where the condition holds, else jump to the label `otherwise`."""
        following = self.label("next")
        self.branch(condition, following, otherwise)
        self.block(following)

    def all_of(self, conditions: Iterable[str]) -> str:
        return self._fold("and", "true", conditions)

    def any_of(self, conditions: Iterable[str]) -> str:
        return self._fold("or", "false", conditions)

    def _fold(self, operator: str, empty: str, conditions: Iterable[str]) -> str:
        result = empty
        for condition in conditions:
            result = condition if result == empty else self.value(f"{operator} i1 {result}, {condition}")
        return result

    def field(self, base: str, offset: int, type_name: str) -> str:
        """The value of a struct's field, `offset` bytes from its start."""
        place = self.value(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base
        return self.value(f"load {type_name}, ptr {place}")

    def function(self, header: str) -> str:
        return "\n".join((f"{header} {{", *self.lines, "}", ""))


def text_constant(symbol: str, text: str) -> str:
    """A NUL-terminated UTF-8 string; a NUL inside becomes the replacement character."""
    data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace") + b"\0"
    return data_constant(symbol, data, alignment=1)


def data_constant(symbol: str, data: bytes, alignment: int = 64) -> str:
    """An internal constant of these bytes."""
    head = f"@{symbol} = internal constant [{len(data)} x i8]"
    if not any(data):
        return f"{head} zeroinitializer, align {alignment}\n"
    escaped = _ESCAPES[np.frombuffer(data, np.uint8)].tobytes().decode("ascii")
    return f'{head} c"{escaped}", align {alignment}\n'


# The three characters `\XX` of each byte.
_ESCAPES = np.array([list(f"\\{byte:02X}".encode()) for byte in range(256)], np.uint8)
