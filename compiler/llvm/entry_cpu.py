"""Whether the CPU has what exported code uses, asked at the start of NAME_run. x86-64 only.

cpuid traps in virtual machines (4 us were measured), so it is avoided where xgetbv, which does not, says
enough: a system that saves the AVX-512 registers runs on a CPU with all of x86-64-v4.
"""

from __future__ import annotations

from dataclasses import replace

import llvmlite.binding as binding

from compiler.llvm.runtime_text import Writer
from compiler.llvm.target import Target

LEVEL_2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt")
LEVEL_3 = (*LEVEL_2, "avx", "avx2", "bmi", "bmi2", "fma", "f16c", "lzcnt", "movbe")
LEVEL_4 = (*LEVEL_3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
FEATURES_OF_CPU = {
    **dict.fromkeys(("x86-64-v2", "nehalem", "westmere"), LEVEL_2),
    **dict.fromkeys(("x86-64-v3", "haswell", "broadwell", "skylake", "znver1", "znver2", "znver3"), LEVEL_3),
    **dict.fromkeys(("x86-64-v4", "skylake-avx512", "cascadelake", "icelake-server"), LEVEL_4),
    **dict.fromkeys(("sapphirerapids", "znver4", "znver5"), LEVEL_4),
}
# (cpuid leaf, subleaf, register 0 to 3 of eax ebx ecx edx, bit), after the manuals of Intel and AMD.
BITS = {
    "sse3": (1, 0, 2, 0), "ssse3": (1, 0, 2, 9), "fma": (1, 0, 2, 12), "sse4.1": (1, 0, 2, 19),
    "sse4.2": (1, 0, 2, 20), "movbe": (1, 0, 2, 22), "popcnt": (1, 0, 2, 23), "avx": (1, 0, 2, 28),
    "f16c": (1, 0, 2, 29), "bmi": (7, 0, 1, 3), "avx2": (7, 0, 1, 5), "bmi2": (7, 0, 1, 8),
    "avx512f": (7, 0, 1, 16), "avx512dq": (7, 0, 1, 17), "avx512ifma": (7, 0, 1, 21),
    "avx512cd": (7, 0, 1, 28), "avx512bw": (7, 0, 1, 30), "avx512vl": (7, 0, 1, 31),
    "avx512vbmi": (7, 0, 2, 1), "avx512vbmi2": (7, 0, 2, 6), "gfni": (7, 0, 2, 8),
    "avx512vnni": (7, 0, 2, 11), "avx512bitalg": (7, 0, 2, 12), "avx512vpopcntdq": (7, 0, 2, 14),
    "avx512vp2intersect": (7, 0, 3, 8), "avx512fp16": (7, 0, 3, 23), "avxvnni": (7, 1, 0, 4),
    "avx512bf16": (7, 1, 0, 5), "lzcnt": (0x80000001, 0, 2, 5), "sse4a": (0x80000001, 0, 2, 6),
    "xop": (0x80000001, 0, 2, 11), "fma4": (0x80000001, 0, 2, 16), "tbm": (0x80000001, 0, 2, 21),
}
AVX_STATE, AVX512_STATE = 0x06, 0xE6
BASELINE = '"target-cpu"="x86-64" "target-features"="" "no-builtins" nounwind'
CPUID = (
    'call {{ i32, i32, i32, i32 }} asm sideeffect "cpuid", '
    '"={{ax}},={{bx}},={{cx}},={{dx}},{{ax}},{{cx}},~{{dirflag}},~{{fpsr}},~{{flags}}"(i32 {}, i32 {})'
)
XGETBV = (
    'call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}"(i32 0)'
)


def portable(target: Target) -> Target:
    """The target without features above x86-64-v4, which float code gains nothing from.

    Code for such a target runs on more machines, and asks its CPU with xgetbv alone.
    """
    if not target.is_x86 or not target.features:
        return target
    kept = [
        f"-{f[1:]}" if f[:1] == "+" and f[1:] in BITS and f[1:] not in LEVEL_4 else f
        for f in target.features.split(",")
    ]
    return replace(target, features=",".join(kept))


def required_features(target: Target) -> tuple[str, ...]:
    """The features, of those that cpuid is asked for, that code for this target may use."""
    enabled = set(FEATURES_OF_CPU.get(target.cpu, ()))
    for feature in filter(None, target.features.split(",")):
        (enabled.add if feature[0] == "+" else enabled.discard)(feature[1:])
    return tuple(feature for feature in BITS if feature in enabled)


def checks_cpu(target: Target) -> bool:
    """Whether NAME_run must ask. Not where LLVM could not assemble the question: on other hosts."""
    is_64 = target.triple.startswith(("x86_64", "amd64"))
    return is_64 and Target.host().is_x86 and bool(required_features(target))


def emit_cpu_check(name: str, target: Target) -> str:
    """`i1 @NAME_cpu_lacks()`, in instructions that every x86-64 CPU has."""
    binding.initialize_native_asmparser()
    writer = Writer()
    required = required_features(target)
    if any(feature in required for feature in LEVEL_4 if feature not in LEVEL_2):
        _emit_state_check(writer, required)
    _emit_cpuid_check(writer, required)
    writer.line("ret i1 false")
    writer.block("lacks")
    writer.line("ret i1 true")
    return writer.function(f"define internal i1 @{name}_cpu_lacks() noinline {BASELINE}")


def _emit_state_check(writer: Writer, required: tuple[str, ...]) -> None:
    """What the system saves at a context switch; all of AVX-512 proves x86-64-v4."""
    saved = writer.value(f"extractvalue {{ i32, i32 }} {writer.value(XGETBV)}, 0")
    wide = writer.value(f"and i32 {saved}, {AVX512_STATE}")
    has_wide = writer.value(f"icmp eq i32 {wide}, {AVX512_STATE}")
    if any(feature.startswith("avx512") for feature in required):
        writer.require(has_wide, "lacks")
    else:
        narrow = writer.value(f"and i32 {saved}, {AVX_STATE}")
        writer.require(writer.value(f"icmp eq i32 {narrow}, {AVX_STATE}"), "lacks")
    if all(feature in LEVEL_4 for feature in required):
        unsure = writer.label("unsure")
        writer.branch(has_wide, "certain", unsure)
        writer.block("certain")
        writer.line("ret i1 false")
        writer.block(unsure)


def _emit_cpuid_check(writer: Writer, required: tuple[str, ...]) -> None:
    masks: dict[tuple[int, int], dict[int, int]] = {}
    for feature in required:
        leaf, subleaf, register, bit = BITS[feature]
        registers = masks.setdefault((leaf, subleaf), {})
        registers[register] = registers.get(register, 0) | 1 << bit
    for (leaf, subleaf), registers in masks.items():
        # A CPU answers with the highest leaf it knows for those beyond.
        highest = _cpuid(writer, leaf & 0x80000000, 0, 0)
        writer.require(writer.value(f"icmp uge i32 {highest}, {leaf}"), "lacks")
        for register, mask in registers.items():
            found = writer.value(f"and i32 {_cpuid(writer, leaf, subleaf, register)}, {mask}")
            writer.require(writer.value(f"icmp eq i32 {found}, {mask}"), "lacks")


def _cpuid(writer: Writer, leaf: int, subleaf: int, register: int) -> str:
    answer = writer.value(CPUID.format(leaf, subleaf))
    return writer.value(f"extractvalue {{ i32, i32, i32, i32 }} {answer}, {register}")
