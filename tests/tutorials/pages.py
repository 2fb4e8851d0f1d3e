"""Runs a page of the documentation as a reader would: writes its files, types its commands.

A fenced block with a title is a file, ``sh`` is typed into a shell, ``python`` without one runs,
and ``text`` after one of these is what it prints: every line must be there, in order; ``…`` stands
for anything. What a snippet includes from the repository is included here as on the site.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL
)


def blocks(page: Path) -> list[re.Match[str]]:
    """Return a page's fenced blocks: each has a ``kind``, a ``title`` or None, and a ``body``."""
    text = re.sub(
        r'^--8<-- "(.+?)"$',
        lambda found: (ROOT / found[1]).read_text(encoding="utf-8").rstrip("\n"),
        page.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    return list(_BLOCK.finditer(text))


class Shell:
    """A reader's shell in an empty folder, with ``mixmerge`` and ``python`` installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (("mixmerge", "-m mixmerge "), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command}"$@"\n')
            program.chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            # A reader's clone, where the page works in one, comes before the installed package.
            "PYTHONPATH": f"{self.folder / 'src'}{os.pathsep}{ROOT / 'src'}",
            "COLUMNS": "160",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def clone(self) -> None:
        """Copy the package's source here, as a reader's clone has it."""
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src", self.folder / "src", ignore=leave)

    def run(self, script: str, *interpreter: str) -> str:
        """Run a script, which must succeed, and return what it prints."""
        done = subprocess.run(
            [*(interpreter or ("bash", "-e", "-o", "pipefail", "-c")), script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


def follow(page: Path, shell: Shell) -> None:
    """Do what a page says, in order, and compare what it prints with what the page shows."""
    printed = ""
    for block in blocks(page):
        kind, title, body = block.group("kind", "title", "body")
        if title:
            file = shell.folder / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body, encoding="utf-8")
        elif kind == "sh":
            printed = shell.run(body)
        elif kind == "python":
            printed = shell.run(body, "python", "-c")
        elif kind == "text":
            expect(body, printed)
        else:
            pytest.fail(f"{page.name}: a `{kind}` block has no title, and nothing runs it")


def expect(shown: str, printed: str) -> None:
    """Check that each shown line was printed, in order, whatever the spaces."""
    rest = " ".join(printed.split())
    for line in shown.splitlines():
        parts = [re.escape(" ".join(part.split())) for part in line.split("…")]
        found = re.search(".*?".join(parts), rest)
        assert found, f"not printed: {line}\nwhat was printed:\n{printed}"
        rest = rest[found.end() :]
