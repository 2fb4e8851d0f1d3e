"""Where a run keeps the prompts, answers and verdicts of an axis, whatever made them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixmerge.files import read_rows
from mixmerge.records import Axis, Prompt, Response, Verdict, by_prompt, score_of
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

    def read_prompts(self, axis: Axis) -> list[Prompt]:
        """Return the prompts of an axis."""
        file = self.prompts(axis)
        return read_rows(file, Prompt) if file else []

    def read_answers(self, name: str, axis: Axis) -> dict[str, str]:
        """Return the texts of a model's answers by prompt."""
        return {prompt: row.text for prompt, row in self.read_responses(name, axis).items()}

    def read_responses(self, name: str, axis: Axis) -> dict[str, Response]:
        """Return a model's answers by prompt."""
        file = self.answers(name, axis)
        return {row.prompt: row for row in read_rows(file, Response)} if file else {}

    def read_verdicts(self, name: str, axis: Axis) -> dict[str, list[Verdict]]:
        """Return the verdicts on a model's answers by prompt."""
        file = self.verdicts(name, axis)
        return by_prompt(read_rows(file, Verdict)) if file else {}

    def share(self, name: str, axis: Axis, verdicts: Sequence[Verdict]) -> float | None:
        """Return the score of one answer as a share of the measure's range; None without one.

        No judge compares the base model with itself, which is a tie by definition.
        """
        measure = self.study.evaluate.axes[axis].measure
        if not verdicts:
            return measure.of_base if name == BASE else None
        share = score_of(verdicts, measure.worth)
        return None if math.isnan(share) else share

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
