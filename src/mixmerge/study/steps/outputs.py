"""Where a run keeps the prompts, answers and verdicts of an axis, whatever made them."""

from dataclasses import dataclass
from pathlib import Path

from mixmerge.records import Axis
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.harness import scored_name
from mixmerge.study.steps.kind import ROWS, Folders
from mixmerge.study.steps.score import ANSWERS, TEXTS, Score


@dataclass(frozen=True)
class Outputs:
    """The files of a study's finished steps; None for one that is not there."""

    study: Study
    folders: Folders
    """By the step's id."""

    def prompts(self, axis: Axis) -> Path | None:
        """The prompts of an axis; for one that a harness scored, those of the base model."""
        if axis in self.study.evaluate.scored:
            return self._file(Score.kind, scored_name(BASE, axis), f"{TEXTS}/{ROWS}")
        return self._file("prompts", axis, ROWS)

    def answers(self, name: str, axis: Axis) -> Path | None:
        """A model's answers."""
        if axis in self.study.evaluate.scored:
            return self._file(Score.kind, scored_name(name, axis), f"{TEXTS}/{ANSWERS}")
        return self._file("generate", name, f"{self.study.evaluate.answered(axis)}.jsonl")

    def verdicts(self, name: str, axis: Axis) -> Path | None:
        """The verdicts on a model's answers."""
        if axis in self.study.evaluate.scored:
            return self._file(Score.kind, scored_name(name, axis), f"{axis}.jsonl")
        return self._file("judge", name, f"{axis}.jsonl")

    def _file(self, kind: str, name: str, file: str) -> Path | None:
        folder = self.folders.get(f"{kind}/{name}")
        return folder / file if folder is not None and (folder / file).is_file() else None
