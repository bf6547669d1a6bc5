"""Every code block of README.md and docs/ runs; every link and every file named there exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")
NAMED_FILE = re.compile(r"`((?:symgraph|compiler|tests|examples|docs)/[\w/.]+)`")


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line number, text) of each block of a language."""
    text = page.read_text()
    found = [(text[: m.start(2)].count("\n"), m[2]) for m in BLOCK.finditer(text) if m[1] == language]
    return found


def run_python(page: Path) -> None:
    """A page's blocks one after another, in one namespace."""
    names: dict[str, object] = {"__name__": "page"}
    for line, code in blocks(page, "python"):
        # Empty lines before the code put errors, and locations in reports, at the page's own line numbers.
        exec(compile("\n" * line + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_and_shell_and_c(page: Path, tmp_path: Path) -> None:
    """In one folder, and in processes of their own: pages declare ops and rules, which stay declared.

    -P: `compiler` is the package, not the folder of that name beside this file.
    """
    run([sys.executable, "-P", "-W", "error", __file__, str(page)], tmp_path)
    for _, code in blocks(page, "sh"):
        for command in code.splitlines():
            if command.startswith("symgraph ") and not command.startswith("symgraph demo"):
                run([sys.executable, "-m", *command.split("#")[0].split()], tmp_path)
    cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    for _, code in blocks(page, "c") if cc else ():
        (tmp_path / "block.c").write_text(code)
        command = [str(cc), "-std=c99", "-Wall", "-Werror", "-Ibuild", "-c", "block.c", "-o", "block.o"]
        run(command, tmp_path)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    assert [name for name in NAMED_FILE.findall(page.read_text()) if not (ROOT / name).exists()] == []


if __name__ == "__main__":
    run_python(Path(sys.argv[1]))
