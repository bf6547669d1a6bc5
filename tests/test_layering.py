"""Imports only go down the layers of DESIGN section 3; heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A module may import what stands on a lower line, and its own group.
SYMGRAPH = (
    ("errors", "location", "dimension", "special", "words"),
    ("types", "structure"),
    ("op",),
    ("value", "graph"),
    ("loops",),
    ("text", "symbol", "chain_rule"),
    ("eager", "reference"),
    ("ops",),
    ("random", "gradient"),
    ("creation", "nn", "optim", "data", "io"),
    ("viz",),
    ("api",),
    ("library", "compare", "tracing", "saved"),
    ("__init__",),
    ("train",),
    ("bench",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
COMPILER = (
    ("__init__", "abi", "loop", "views", "verify"),
    ("program", "schedule", "clusters"),
    ("llvm",),
    ("passes", "lower", "jit"),
    ("pipeline", "memory", "aot"),
    ("grouping",),
    ("recipe", "traffic"),
    ("request", "graph_key"),
    ("stored",),
    ("driver",),
    ("report", "deploy", "timed"),
    ("probes",),
    ("profile_page",),
    ("profiler",),
)
CORE = {name for line in SYMGRAPH[:8] for name in line}  # what the compiler may know of the language
DOORS = {"symgraph.api", "symgraph.library"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def files() -> list[Path]:
    return sorted(p for package in ("symgraph", "compiler") for p in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """(module, statement) for every import, with `from package import module` spelled out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide layers"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                is_module = (ROOT / Path(*deeper.split("."))).with_suffix(".py").exists()
                is_package = (ROOT / Path(*deeper.split("."))).is_dir()
                yield (deeper if is_module or is_package else node.module or ""), node


def group_of(module: str) -> tuple[str, str]:
    """(package, its part): ("symgraph", "ops"). The package itself is its `__init__`."""
    package, _, rest = module.partition(".")
    return package, rest.split(".")[0] or "__init__"


def rank(package: str, group: str) -> int:
    order = SYMGRAPH if package == "symgraph" else COMPILER
    for number, line in enumerate(order):
        if group in line:
            return number
    pytest.fail(f"{package}.{group} has no place in the layers of tests/test_layering.py")


@pytest.mark.parametrize("package", ["symgraph", "compiler"])
def test_imports_only_go_down(package):
    wrong = []
    for path in files():
        here = group_of(module_name(path))
        if here[0] != package:
            continue
        for module, statement in imports(path):
            there = group_of(module)
            below = there == here or there[0] != package or rank(*there) < rank(*here)
            if not below:
                wrong.append(f"{path.relative_to(ROOT)}:{statement.lineno} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_the_compiler_knows_only_the_core_of_the_language():
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files() if module_name(path).startswith("compiler")
        for module, _ in imports(path)
        if module.startswith("symgraph.") and group_of(module)[1] not in CORE
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_the_language_reaches_the_compiler_through_one_door():
    """`api` compiles; `library` calls what was compiled before."""
    through = {
        module_name(path) for path in files() if module_name(path).startswith("symgraph")
        for module, _ in imports(path) if group_of(module)[0] == "compiler"
    }  # fmt: skip
    assert through == DOORS


def test_libraries_stay_where_they_belong():
    homes = {
        "llvmlite": ("compiler.llvm.",),
        "graphviz": ("symgraph.viz.",),
        "networkx": ("symgraph.graph", "compiler.passes."),
        "safetensors": ("symgraph.io.",),
        "sklearn": ("symgraph.data.", "symgraph.train."),
        "tqdm": ("symgraph.train.", "symgraph.commands."),
        **dict.fromkeys(("torch", "jax", "onnxruntime", "pytensor"), ("symgraph.bench.engines.",)),
    }
    wrong = [
        f"{module_name(path)} imports {module}"
        for path in files() for module, _ in imports(path)
        if module.split(".")[0] in homes and not module_name(path).startswith(homes[module.split(".")[0]])
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_lowering_knows_the_target_but_no_code_generator():
    """Kernels are the border: passes and lowering end at the loop IR, llvm begins there."""
    for path in files():
        name = module_name(path)
        for module, _ in imports(path):
            if name.startswith("compiler.lower"):
                assert not module.startswith("compiler.llvm") or module == "compiler.llvm.target", name
            if name.startswith("compiler.passes"):
                assert not module.startswith(("compiler.llvm", "compiler.lower", "compiler.loop")), name
            if name.startswith("compiler.llvm"):
                assert not module.startswith(("compiler.passes", "compiler.lower", "symgraph.graph")), name


def test_imports_stand_at_the_top():
    """networkx is the one exception: it takes longer to import than all of symgraph."""
    inside = []
    for path in files():
        tree = ast.parse(path.read_text())
        bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for body in bodies:
            for node in (n for statement in body for n in ast.walk(statement)):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    inside.append((module_name(path), ast.unparse(node)))
    assert inside == [("symgraph.graph", "import networkx")]


def test_importing_symgraph_loads_nothing_slow():
    code = "import sys, json, symgraph; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(done.stdout))
    slow = {"networkx", "torch", "jax", "sklearn", "scipy", "matplotlib", "pandas", "tqdm", "pytest"}
    assert not loaded & slow


def test_a_function_from_the_cache_loads_neither_passes_nor_code_generator(tmp_path):
    code = (
        "import sys, json, symgraph as sg; x = sg.input('x', ('n',)); f = sg.function([x], x + 1.0)\n"
        "f([1.0]); print(json.dumps(sorted(sys.modules)))"
    )
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(tmp_path)}
    for cached in (False, True):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
        loaded = set(json.loads(done.stdout))
        later = {"compiler.pipeline", "compiler.recipe", "compiler.llvm.emit", "compiler.report"}
        assert loaded & later == (set() if cached else later - {"compiler.report"})
        assert not loaded & {"graphviz", "symgraph.viz.drawing", "compiler.aot.export"}
