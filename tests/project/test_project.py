"""Tests about the project itself: its promises to readers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mixmerge
from mixmerge.cli.main import PANELS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_importing_mixmerge_is_light() -> None:
    """`import mixmerge` loads none of the heavy libraries."""
    code = "import sys, mixmerge; print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", mixmerge.__all__)
def test_every_public_function_is_documented(name: str) -> None:
    """Each public name exists and says what it does and what it raises or returns."""
    assert len(getattr(mixmerge, name).__doc__) > 40


def test_verbs_are_functions_and_nouns_are_packages() -> None:
    """`from mixmerge import merge` is the function, whichever packages were imported before."""
    import mixmerge.merging.recipes.recipe
    import mixmerge.mixing.spec
    import mixmerge.training.spec

    assert all(callable(getattr(mixmerge, name)) for name in mixmerge.__all__)
    packages = {path.parent.name for path in (ROOT / "src/mixmerge").glob("*/__init__.py")}
    assert packages.isdisjoint(mixmerge.__all__)


def test_commands_are_functions() -> None:
    """Every command of the command line is a public function of the same name."""
    commands = {command.__name__ for panel in PANELS.values() for command in panel}
    assert commands == set(mixmerge.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short(path: Path) -> None:
    """No module is longer than 400 lines."""
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_say_what_they_expect(path: Path) -> None:
    """Every test has a docstring, and every `pytest.raises` of an error matches its message."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            silent = ast.unparse(node.args[0]) == "KeyboardInterrupt"
            assert silent or any(w.arg == "match" for w in node.keywords), ast.unparse(node)


def test_tests_mirror_the_source() -> None:
    """Each folder of tests is a package of the source, the benchmarks, the paper or the project."""
    packages = {path.name for path in (ROOT / "src/mixmerge").iterdir() if path.is_dir()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    others = {"benchmarks", "data", "paper", "project", "tutorials"}
    assert folders - packages - {"__pycache__"} == others


def test_the_readme_opens_with_the_two_commands() -> None:
    """The first code block of the README is `make demo` and `make test`."""
    first = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make demo",
        "make test",
    ]


def test_links_of_the_readme_lead_somewhere() -> None:
    """Every relative link in the README is a file of the repository."""
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_dependencies_are_pinned_for_development() -> None:
    """Every dependency of the package and of development has an exact version."""
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = (ROOT / "pyproject.toml").read_text()
    block = project.split("dependencies = [")[1].split("\n]")[0]
    asked = re.findall(r'"([A-Za-z0-9_.-]+)', block)
    asked += [
        re.match(r"[A-Za-z0-9_.-]+", line)[0]  # type: ignore[index]
        for line in (ROOT / "requirements-dev.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert {name.lower().replace("_", "-") for name in asked} <= pinned
