"""Rows with a text that a classifier finds toxic."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import model_validator

from mixmerge.evaluation.judges.classifier import is_cut
from mixmerge.records import Judge, Question
from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec, Part, texts
from mixmerge.synthesis.filters.judged import LocalJudge, judge_context, outcomes
from mixmerge.synthesis.row import Row

TOXIC = "toxic"


class ToxicitySpec(FilterSpec):
    """No text of a row may be toxic. Prompts of safety data are so on purpose: leave them out."""

    key = "toxicity"

    toxicity: Part
    """The texts to classify; of a pair, the preferred answer."""
    judge: LocalJudge
    """Says whether a text is ``toxic``: ``{classifier: FOLDER, labels: {toxic: yes, neutral: no},
    reads: answer, threshold: 0.5}``."""

    @model_validator(mode="after")
    def _can_judge(self) -> "ToxicitySpec":
        self.judge.check(Question(axis="toxicity", asks="outcome", outcome=TOXIC))
        if self.toxicity != "answer" and getattr(self.judge, "reads", "answer") != "answer":
            raise ValueError("a prompt is classified alone: the classifier needs `reads: answer`")
        return self

    def paths(self) -> dict[str, Path]:
        """Return the classifier's folder."""
        return self.judge.paths()

    def build(self, context: FilterContext) -> "Toxicity":
        """Return the filter.

        Raises:
            UserError: there is no such classifier.
        """
        return Toxicity(self.toxicity, self.judge.build(judge_context(context)))


class Toxicity:
    """Drops rows with a toxic text; see `RowFilter`."""

    def __init__(self, part: Part, judge: Judge) -> None:
        """Set up the filter with a built judge."""
        self._part = part
        self._judge = judge
        self.unread: Counter[str] = Counter()

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return ``toxic prompt`` or ``toxic answer`` with the probability, or None.

        Raises:
            UserError: the judge cannot read a text.
        """
        self.unread.clear()
        found: list[str | None] = [None] * len(rows)
        asked = [
            (place, name.split()[-1], text)
            for place, row in enumerate(rows)
            for name, text in texts(row, self._part)
            if name != "rejected answer"
        ]
        said = outcomes(self._judge, [(rows[place], text) for place, _, text in asked], TOXIC)
        for (place, name, _), (toxic, why) in zip(asked, said, strict=True):
            if toxic and found[place] is None:
                found[place] = f"toxic {name}" + (why and f": {why}")
            elif is_cut(why) and not toxic:
                self.unread[f"only the beginning of the {name} was read"] += 1
        return found


SPEC = ToxicitySpec
