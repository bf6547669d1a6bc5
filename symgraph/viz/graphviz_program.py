"""Running the `dot` program: always with a time limit, never through a shell."""

from __future__ import annotations

import shutil
import subprocess

from symgraph.errors import ExportError

SECONDS = 30
INSTALL = "install Graphviz (apt install graphviz, brew install graphviz, or https://graphviz.org/download)"


def has_dot() -> bool:
    return shutil.which("dot") is not None


def run_dot(source: str, kind: str) -> bytes:
    """The drawing of DOT text in a format such as "svg" or "png".

    Raises ExportError if the program is missing, fails, or takes longer than SECONDS (it is then ended).
    """
    program = shutil.which("dot")
    if program is None:
        raise ExportError(f"a .{kind} needs the program `dot`, which is not on PATH; {INSTALL}")
    try:
        done = subprocess.run(  # ends and reaps the child on a timeout
            [program, f"-T{kind}"], input=source.encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"`dot` took longer than {SECONDS} s to draw a .{kind} and was ended") from None
    except OSError as error:
        raise ExportError(f"`dot` could not be run: {error}; {INSTALL}") from error
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip()[:400]
        raise ExportError(f"`dot` failed with code {done.returncode}: {reason or 'it wrote nothing'}")
    return done.stdout
