"""The calls that NAME_run consists of, the tables they point into, and the functions they call."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.llvm.entry_group import GroupKernel, emit_group, group_call, group_tables
from compiler.llvm.entry_launch import (
    NativeKernel,
    Places,
    emit_launch,
    emit_task,
    launch_call,
    launch_table,
)
from compiler.program import Group, Launch, Program


class Calls:
    """`order` maps launches to kernels. `external`: see entry_run.Interface."""

    def __init__(
        self,
        name: str,
        program: Program,
        places: Places,
        kernels: Sequence[NativeKernel],
        order: Sequence[int],
        external: bool,
    ):
        self._name = name
        self._external = external
        self._table, self._starts = launch_table(name, program, places)
        self._rows, self._first_rows = group_tables(name, program, places)
        self._kernels = [kernels[number] for number in order]
        self._launches = program.launches

    def call(self, position: int, extents: Sequence[str]) -> str:
        """Of the launch at this position; `extents` are the values of its first run's extents."""
        launch, kernel = self._launches[position], self._kernels[position]
        if isinstance(launch, Group):
            start, group = self._first_rows[position], GroupKernel.of(kernel, launch)
            return group_call(group, launch, self._name, start, self._external, extents)
        return launch_call(kernel, launch, self._name, self._starts[position], self._external, extents)

    def parts(self) -> list[str]:
        """The tables and functions, each once."""
        pairs = list(zip(self._launches, self._kernels, strict=True))
        groups = dict.fromkeys(GroupKernel.of(k, launch) for launch, k in pairs if isinstance(launch, Group))
        single = list({k.symbol: k for launch, k in pairs if isinstance(launch, Launch)}.values())
        parts = [self._table, self._rows]
        parts += [emit_task(kernel) for kernel in single if kernel.parallel and self._external]
        parts += [emit_launch(kernel, self._external) for kernel in single]
        return [*parts, *(emit_group(kernel, self._external) for kernel in groups)]
