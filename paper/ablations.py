"""The questions that the paper leaves open, each as a difference of two models."""

from typing import NamedTuple


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
