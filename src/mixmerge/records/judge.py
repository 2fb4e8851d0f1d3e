"""What a judge is, whether rules, a model at an endpoint or a person."""

from collections.abc import Sequence
from typing import Literal, Protocol

from mixmerge.progress import Progress, silent
from mixmerge.records.prompt import Prompt
from mixmerge.records.response import Response
from mixmerge.records.verdict import Verdict


class Judge(Protocol):
    """Turns answers into verdicts. Rows of all arguments correspond by position."""

    @property
    def name(self) -> str:
        """Name and version, e.g. ``rules@1``; a new version means new verdicts."""

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Judge the model's answers against the base model's: axis ``general``.

        Returns:
            One verdict per prompt, or two (one per order) where the order could matter.
        """

    def classify(
        self,
        axis: Literal["safety", "over_refusal"],
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request.

        Returns:
            One verdict per prompt, with the outcome ``yes`` or ``no`` where there is one.
        """
