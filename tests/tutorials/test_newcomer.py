"""A newcomer's first hour: an empty folder, and only what the README says.

Formats of data, a wrong key and a stopped run have files of their own.
"""

import json
import resource
import shutil
from pathlib import Path

import pytest
from tests.tutorials.pages import ROOT, Shell, blocks

README = ROOT / "README.md"
MINUTE = 60


def cpu() -> float:
    """Return the seconds that finished child processes have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def clone(tmp_path: Path) -> Shell:
    """A clone of the repository, as far as the README's commands need it."""
    shell = Shell(tmp_path)
    shutil.copytree(ROOT / "examples", shell.folder / "examples")
    for block in blocks(README):
        if block["title"]:
            (shell.folder / block["title"]).write_text(block["body"], encoding="utf-8")
    return shell


def commands() -> list[str]:
    """The README's commands after the two of `make`, without their comments."""
    lines = [block["body"].splitlines() for block in blocks(README) if block["kind"] == "sh"]
    return [line.partition("#")[0].strip() for part in lines[1:] for line in part]


@pytest.mark.slow
def test_both_studies_of_the_readme_reach_a_result(clone: Shell) -> None:
    """Toy models in a minute of one core; a verdict and a page for each study; their items."""
    assert [line.split()[:2] for line in commands()] == [
        ["python", "examples/given_models.py"],
        ["mixmerge", "plan"],
        ["mixmerge", "run"],
        ["mixmerge", "run"],
        ["mixmerge", "compare"],
    ]
    said = {}
    for line in commands():
        before = cpu()
        said[line] = clone.run(line)
        if line.startswith("python"):
            assert cpu() - before < MINUTE
    models = {"models": {"months", "safety", "mixed", "linear", "ties"}}
    for name, expected in (models | {"data": {"months", "safety", "mix", "merge"}}).items():
        results = json.loads((clone.folder / f"runs/{name}/results.json").read_text("utf-8"))
        assert set(results["models"]) == expected | {"base"}
        assert results["decisions"], name
        # A metric of one's own: the share of answers with a pattern.
        assert results["models"]["safety"]["axes"]["safety"]["value"] > 0.5
        assert results["models"]["months"]["axes"]["months"]["value"] > 0.5
        assert (clone.folder / f"runs/{name}/report.html").stat().st_size > 10_000
        assert "refused answers" in said[f"mixmerge run {name}.yaml"]
    assert (clone.folder / "runs/items.html").stat().st_size > 10_000
