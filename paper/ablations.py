"""Questions that the paper leaves open, each as a difference of two models."""

from collections.abc import Sequence
from typing import NamedTuple

from mixmerge.reporting.cells import Column, Table, word
from paper.scores import Scores
from paper.values import INTERVALS, difference


class Contrast(NamedTuple):
    """A question with the two models that answer it."""

    question: str
    first: str
    second: str

    @property
    def formula(self) -> dict[str, float]:
        """First minus second."""
        return {self.first: 1.0, self.second: -1.0}


CONTRASTS = (
    Contrast("Is SLERP more than a line, at equal weight?", "dpo-arc", "dpo-lerp"),
    Contrast("… without the near-parallel switch?", "dpo-arc-always", "dpo-lerp"),
    Contrast("… between the changes from the base?", "dpo-arc-of-changes", "dpo-lerp"),
    Contrast("Does a gradient of weights help SLERP (SFT)?", "sft-slerp-gradient", "sft-slerp"),
    Contrast("… SLERP (DPO)?", "dpo-slerp-gradient", "dpo-slerp"),
    Contrast("… TIES (DPO)?", "dpo-ties-gradient", "dpo-ties"),
    Contrast("TIES: the paper’s equations or the original?", "dpo-ties-paper", "dpo-ties-keep-80"),
    Contrast("TIES: keep all or 80 %?", "dpo-ties-keep-100", "dpo-ties-keep-80"),
    Contrast("TIES: keep 20 % or 80 %?", "dpo-ties-keep-20", "dpo-ties-keep-80"),
    Contrast("Averaging alone: a soup of two mixes (SFT)", "sft-soup", "sft-15"),
    Contrast("… (DPO)", "dpo-soup", "dpo-15"),
    Contrast(
        "Equal compute: against the mix trained twice as long (SFT)", "sft-slerp", "sft-15-long"
    ),
    Contrast("… (DPO)", "dpo-slerp", "dpo-15-long"),
    Contrast("Equal search: against the best of seven ratios (SFT)", "sft-slerp", "sft-best-mix"),
    Contrast("… (DPO)", "dpo-slerp", "dpo-best-mix"),
    Contrast("… TIES (DPO)", "dpo-ties", "dpo-best-mix"),
    Contrast("Does searching help the mix? (SFT)", "sft-best-mix", "sft-15"),
    Contrast("… (DPO)", "dpo-best-mix", "dpo-15"),
    Contrast("First experiment: SLERP of English and French DPO models", "dpo-en-fr", "dpo-en"),
    Contrast("First experiment: TIES of Spanish, Arabic, Russian", "three-es-ar-ru", "sft-15"),
)


def contrast_table(scores: Scores, contrasts: Sequence[Contrast]) -> Table:
    """Ablations and first experiments, one question per row."""
    columns = (
        Column("question", "Question", numeric=False),
        Column("difference", "Difference", numeric=False),
        Column("win", "Win rate", with_ci=True),
        Column("harm", "Harm rate", with_ci=True),
        Column("over_refusal", "Over-refusal", with_ci=True),
        Column("balance", "Balance", with_ci=True),
    )
    rows = tuple(
        (
            word(each.question),
            word(f"{each.first} − {each.second}"),
            difference(scores.estimate("general", each.formula)),
            difference(scores.estimate("safety", each.formula)),
            difference(
                scores.estimate("over_refusal", each.formula)
                if "over_refusal" in scores.axes
                else None
            ),
            difference(scores.balance(each.formula)),
        )
        for each in contrasts
        if scores.has(each.formula)
    )
    caption = (
        "Differences of rates, first minus second: a higher win rate, and lower harm and "
        f"over-refusal, are better; balance is win rate − harm rate. {INTERVALS}"
    )
    return Table("ablations", "Ablations and first experiments", caption, columns, rows)
