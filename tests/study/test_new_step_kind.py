"""A newcomer's kind of step: one file and one registration line, and studies plan and run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mixmerge

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
KIND = '''
"""``words/AXIS``: how long the prompts are."""

from collections.abc import Iterable

from mixmerge.execution.step import Step, Task
from mixmerge.files import read_rows
from mixmerge.progress import Progress
from mixmerge.records import Prompt, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import ROWS, StepKind


class WordsSettings(SpecModel):
    """What counts as a word."""

    shortest: int


class WordsFacts(RowModel):
    """How many there are."""

    words: int


class Words(StepKind[WordsSettings, WordsFacts], kind="words"):
    """Counts the words of the prompts of one axis."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each axis."""
        for axis in study.evaluate.axes:
            yield Step(self.kind, axis, {"shortest": 3}, {"prompts": f"prompts/{axis}"})

    def run(self, task: Task, settings: WordsSettings, progress: Progress) -> WordsFacts:
        """Count."""
        words = [
            word
            for prompt in read_rows(task.inputs["prompts"] / ROWS, Prompt)
            for word in prompt.text.split()
        ]
        return WordsFacts(words=sum(len(word) >= settings.shortest for word in words))

    def cost(self, settings: WordsSettings, rows: int) -> str:
        """Say what counts."""
        return f"words of {settings.shortest} letters"


KINDS = (Words(),)
'''
PLAN_AND_RUN = """
import sys
import mixmerge

study, out = sys.argv[1:]
print(*(f"{row.step}: {row.cost}" for row in mixmerge.plan(study, out).rows), sep="\\n")
mixmerge.run(study, out, workers=1, only=["words/general"])
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The package with one file more and one line that names it."""
    source = tmp_path / "src"
    shutil.copytree(Path(mixmerge.__file__).parent, source / "mixmerge")
    steps = source / "mixmerge" / "study" / "steps"
    (steps / "words.py").write_text(KIND)
    registry = (steps / "__init__.py").read_text()
    assert registry.count('    "prompts",\n') == 1
    registry = registry.replace('    "prompts",\n', '    "prompts",\n    "words",\n')
    (steps / "__init__.py").write_text(registry)
    return source


def test_a_new_kind_of_step_is_one_file_and_one_line(source: Path, tmp_path: Path) -> None:
    """It is in the plan of every study, with its costs, and runs on what other steps made."""
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", PLAN_AND_RUN, str(SMALL), str(out)],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [row for row in done.stdout.splitlines() if row.startswith("words/")]
    axes = ("general", "safety", "over_refusal")
    assert rows == [f"words/{axis}: words of 3 letters" for axis in axes]
    (record,) = out.glob("words/general-*/record.json")
    assert json.loads(record.read_text())["facts"]["words"] > 100
