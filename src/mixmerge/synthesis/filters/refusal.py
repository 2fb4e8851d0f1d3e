"""Rows whose answer refuses, or does not."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from mixmerge.records import Judge, Question
from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec
from mixmerge.synthesis.filters.judged import (
    LocalJudge,
    chosen_answers,
    judge_context,
    no_answers,
    outcomes,
)
from mixmerge.synthesis.row import Row

REFUSED = "refused"


class RefusalSpec(FilterSpec):
    """Drop rows whose answer refuses, or keep only those. Of a pair, the preferred answer."""

    key = "refusal"

    refusal: Literal["drop", "keep"]
    """``drop``: refusals are unwanted, as in general data; ``keep``: only refusals are wanted."""
    judge: LocalJudge
    """Says whether an answer is ``refused``: ``{classifier: ...}``, ``{regex: ...}``, or
    ``{rules: testbed}``."""

    @model_validator(mode="after")
    def _can_judge(self) -> "RefusalSpec":
        self.judge.check(Question(axis="refusal", asks="outcome", outcome=REFUSED))
        return self

    def paths(self) -> dict[str, Path]:
        """Return the classifier's folder."""
        return self.judge.paths()

    def build(self, context: FilterContext) -> "Refusal":
        """Return the filter.

        Raises:
            UserError: the judge is missing.
        """
        return Refusal(self.refusal, self.judge.build(judge_context(context)))


class Refusal:
    """Drops rows by whether they refuse; see `RowFilter`."""

    def __init__(self, wanted: Literal["drop", "keep"], judge: Judge) -> None:
        """Set up the filter with a built judge."""
        self._wanted = wanted
        self._judge = judge
        self.unread: Counter[str] = Counter()

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return ``refusal`` or ``no refusal`` with what the judge said, or None.

        Raises:
            UserError: the judge cannot read an answer.
        """
        found: list[str | None] = [None] * len(rows)
        answers = chosen_answers(rows)
        self.unread = no_answers(rows, answers)
        said = outcomes(self._judge, [(rows[place], text) for place, text in answers], REFUSED)
        for (place, _), (refuses, why) in zip(answers, said, strict=True):
            if refuses == (self._wanted == "drop"):
                found[place] = ("refusal" if refuses else "no refusal") + (why and f": {why}")
        return found


SPEC = RefusalSpec
