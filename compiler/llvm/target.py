"""What code is made for: triple, CPU, features, and the sizes that schedules are chosen by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llvmlite.binding as binding

from symgraph.errors import CompileError
from symgraph.types import DType, bool_

# Vector width in bits of CPU names that imply features without naming them.
BITS_BY_CPU = {
    "x86-64-v3": 256, "haswell": 256, "skylake": 256, "znver1": 256, "znver2": 256, "znver3": 256,
    "x86-64-v4": 512, "skylake-avx512": 512, "icelake-server": 512, "sapphirerapids": 512,
    "znver4": 512, "znver5": 512,
}
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True, slots=True)
class Target:
    """A triple, a CPU name and a feature string as LLVM spells them (`+avx2,-sse4a`)."""

    triple: str
    cpu: str
    features: str = ""
    l1: int = 32 * 1024
    l2: int = 512 * 1024

    @staticmethod
    def host() -> Target:
        """This machine: its CPU name, its full feature string and its cache sizes."""
        return _host()

    @property
    def is_x86(self) -> bool:
        return self.triple.startswith(("x86_64", "i386", "i686", "amd64"))

    @property
    def vector_bits(self) -> int:
        """Width of the widest vector register that is worth using; 128 where unknown."""
        if not self.is_x86:
            return 128
        enabled = self.features.split(",")
        if "+avx512f" in enabled and "+avx512vl" in enabled:
            return 512
        return 256 if "+avx2" in enabled else BITS_BY_CPU.get(self.cpu, 128)

    @property
    def vector_registers(self) -> int:
        if self.triple.startswith(("aarch64", "arm64")) or self.vector_bits == 512:
            return 32
        return 16

    @property
    def has_fma(self) -> bool:
        """Whether fma is an instruction; where not, LLVM would call libm."""
        if self.triple.startswith(("aarch64", "arm64")):
            return True
        return "+fma" in self.features.split(",") or self.cpu in BITS_BY_CPU

    @property
    def has_rounding(self) -> bool:
        """Whether floor and round to even are instructions; where not, LLVM would call libm."""
        if self.triple.startswith(("aarch64", "arm64", "wasm")) or self.cpu in BITS_BY_CPU:
            return True
        return "+sse4.1" in self.features.split(",") or self.cpu == "x86-64-v2"

    def lanes(self, dtype: DType) -> int:
        """Elements of a vector register. A bool counts as 4 bytes: it is mostly a mask of floats."""
        return self.vector_bits // 8 // (4 if dtype == bool_ else dtype.itemsize)

    def machine(self) -> binding.TargetMachine:
        """The TargetMachine, made once a target: position-independent code, small code model."""
        return _machine(self.triple, self.cpu, self.features)


@cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@cache
def _host() -> Target:
    _initialize()
    features = binding.get_host_cpu_features().flatten()
    return Target(
        triple=binding.get_process_triple(),
        cpu=binding.get_host_cpu_name(),
        features=features,
        l1=_cache_bytes(1, 32 * 1024),
        l2=_cache_bytes(2, 512 * 1024),
    )


@cache
def _machine(triple: str, cpu: str, features: str) -> binding.TargetMachine:
    _initialize()
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError as error:
        raise CompileError(f"LLVM knows no target {triple!r}: {error}; expected a triple such as "
                           f"{binding.get_process_triple()!r}") from error
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default")


def _cache_bytes(level: int, default: int) -> int:
    """Size of the data or unified cache of this level, from sysfs; `default` elsewhere."""
    for folder in sorted(CACHES.glob("index*")):
        try:
            kind = (folder / "type").read_text().strip()
            found = int((folder / "level").read_text())
            size = (folder / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        if found == level and kind in ("Data", "Unified") and size.endswith("K"):
            return int(size[:-1]) * 1024
    return default
