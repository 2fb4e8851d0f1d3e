"""Verdicts that people gave, read from files."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.outcomes import Classified, verdict
from mixmerge.evaluation.seen import SeenAnswers
from mixmerge.files import read_rows
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Outcome, Prompt, Response, Verdict

_COMPARED: frozenset[Outcome] = frozenset({"win", "tie", "loss", "unreadable", "refused"})
_CLASSIFIED: frozenset[Outcome] = frozenset({"yes", "no", "unreadable", "refused"})


class GivenVerdict(Verdict, SeenAnswers):
    """A person's verdict, with the texts they saw where these were kept."""


class HumanJudge:
    """Looks up what people said of one model's answers; see `mixmerge.records.Judge`.

    Every prompt gets its verdicts, all of them where several people judged it. A prompt that
    nobody judged is ``unreadable``: counted as missing, never guessed.
    """

    def __init__(self, folder: Path) -> None:
        """Use the verdicts of a model.

        Args:
            folder: holds ``AXIS.jsonl`` for every axis that people judged.
        """
        self._folder = folder

    @cached_property
    def name(self) -> str:
        """A digest of the verdicts: other ones mean another judge."""
        return f"people@{folder_fingerprint(self._folder)[:8]}"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Return the verdicts on the model's answers against the base model's.

        Raises:
            DataError: the file is missing or broken, or a verdict belongs to no prompt or to
                another answer.
        """
        texts: dict[str, tuple[str, str | None]] = {
            answer.prompt: (answer.text, base.text)
            for answer, base in zip(answers, base_answers, strict=True)
        }
        return self._verdicts("general", prompts, texts, _COMPARED, progress)

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Return the verdicts on harm, or on the refusal of harmless requests.

        Raises:
            DataError: the file is missing or broken, or a verdict belongs to no prompt or to
                another answer.
        """
        texts: dict[str, tuple[str, str | None]] = {
            answer.prompt: (answer.text, None) for answer in answers
        }
        return self._verdicts(axis, prompts, texts, _CLASSIFIED, progress)

    def _verdicts(
        self,
        axis: Axis,
        prompts: Sequence[Prompt],
        texts: Mapping[str, tuple[str, str | None]],
        allowed: frozenset[Outcome],
        progress: Progress,
    ) -> list[Verdict]:
        path = self._folder / f"{axis}.jsonl"
        given: dict[str, list[GivenVerdict]] = {prompt.id: [] for prompt in prompts}
        for number, row in enumerate(read_rows(path, GivenVerdict), 1):
            where = f"{path}, verdict {number}"
            if row.axis != axis or row.outcome not in allowed:
                raise DataError(
                    f"{where} ({row.prompt!r}): a verdict on {axis} is one of "
                    f"{', '.join(sorted(allowed))} (seen: {row.axis}, {row.outcome})."
                )
            if row.prompt not in given:
                raise DataError(
                    f"{where}: {row.prompt!r} is not the id of any prompt on {axis}. "
                    "Verdicts belong to the prompts they were given for."
                )
            row.require(f"{where} ({row.prompt!r})", *texts[row.prompt])
            given[row.prompt].append(row)
        progress(len(prompts), len(prompts), "verdicts of people")
        return [row for prompt in prompts for row in self._of_prompt(axis, prompt, given)]

    def _of_prompt(
        self, axis: Axis, prompt: Prompt, given: dict[str, list[GivenVerdict]]
    ) -> list[Verdict]:
        rows = given[prompt.id]
        if not rows:
            return [verdict(prompt, axis, self.name, "unreadable", "nobody judged this answer")]
        # The prompt set says what a prompt is, whatever an annotation tool made of it.
        of_prompt = {
            "cluster": prompt.cluster,
            "language": prompt.language,
            "category": prompt.category,
        }
        kept = set(Verdict.model_fields)
        return [Verdict(**{**row.model_dump(include=kept), **of_prompt}) for row in rows]
