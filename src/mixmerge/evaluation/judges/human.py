"""Verdicts that people gave, read from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.judge import FOLDER, BaseJudgeSpec, Decision, JudgeContext, verdict
from mixmerge.evaluation.judging import JudgedTexts, misfit
from mixmerge.files import read_rows
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Question, Verdict


class HumanJudgeSpec(BaseJudgeSpec):
    """Verdicts that people gave, as JSON Lines of `mixmerge.records.Verdict`."""

    key = "human"
    answers = frozenset({"comparison", "outcome", "grade"})
    of_people = True

    human: Path
    """A folder with ``MODEL/AXIS.jsonl``, as an evaluation writes its own verdicts."""

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {FOLDER: self.human}

    def build(self, context: JudgeContext) -> "HumanJudge":
        """Return the judge of one model's answers."""
        return HumanJudge(context.folder / self.human / context.model)


class GivenVerdict(Verdict, JudgedTexts):
    """A person's verdict, with the texts they judged if these were kept."""


@dataclass(frozen=True)
class HumanJudge:
    """Looks up people's verdicts on one model's answers; see `mixmerge.records.Judge`.

    A prompt has the verdicts of all people who judged it. A prompt that nobody judged is
    ``unreadable`` and counts as missing.
    """

    folder: Path
    """Has ``AXIS.jsonl`` for every axis that people judged."""

    @cached_property
    def name(self) -> str:
        """A digest of the verdicts: other ones mean another judge."""
        return f"people@{folder_fingerprint(self.folder)[:8]}"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Return the verdicts on the model's answers.

        Raises:
            DataError: the file is missing or invalid, or a verdict is for another question, an
                unknown prompt or another answer.
        """
        path = self.folder / f"{question.axis}.jsonl"
        by_prompt = {item.prompt.id: item for item in items}
        given: dict[str, list[Verdict]] = {name: [] for name in by_prompt}
        for number, row in enumerate(read_rows(path, GivenVerdict), 1):
            where = f"{path}, verdict {number}"
            if problem := misfit(row, question):
                raise DataError(f"{where} ({row.prompt!r}): {problem}.")
            if row.prompt not in given:
                raise DataError(
                    f"{where}: {row.prompt!r} is not the id of any prompt on {question.axis}. "
                    "Use the prompts that people judged."
                )
            item = by_prompt[row.prompt]
            base = item.reference.text if item.reference is not None else None
            row.require(f"{where} ({row.prompt!r})", item.answer.text, base)
            # An annotation tool may have changed these; the prompt set's own values count.
            of_prompt = item.prompt.model_dump(include={"cluster", "language", "category"})
            kept = row.model_dump(include=set(Verdict.model_fields))
            given[row.prompt].append(Verdict(**(kept | of_prompt)))
        progress(len(items), len(items), "verdicts of people")
        nobody = Decision("unreadable", "nobody judged this answer")
        return [
            row
            for name, item in by_prompt.items()
            for row in given[name] or [verdict(item.prompt, question, self.name, nobody)]
        ]


SPEC = HumanJudgeSpec
