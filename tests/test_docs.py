"""Every code block of README.md and docs/ runs; every link and every file named there exists."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_and_shell_and_c(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page's blocks run one after another in one namespace and one folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for line, code in blocks(page, "python"):
        # Empty lines before the code put errors, and locations in reports, at the page's own line numbers.
        exec(compile("\n" * line + code, str(page), "exec"), names)
    for _, code in blocks(page, "sh"):
        for command in code.splitlines():
            if command.startswith("symgraph ") and not command.startswith("symgraph demo"):
                run_command(command)
    for _, code in blocks(page, "c"):
        compile_c(code, tmp_path)


def run_command(command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = command.split("#")[0].split()
    done = subprocess.run([sys.executable, "-m", *words], env={**os.environ, "PATH": path}, capture_output=True)
    assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"


def compile_c(code: str, folder: Path) -> None:
    """Compiled beside the headers that the page's Python code exported."""
    cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if cc is None:
        return
    (folder / "block.c").write_text(code)
    command = [cc, "-std=c99", "-Wall", "-Werror", "-Ibuild", "-c", "block.c", "-o", "block.o"]
    done = subprocess.run(command, capture_output=True, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    assert [name for name in NAMED_FILE.findall(page.read_text()) if not (ROOT / name).exists()] == []
