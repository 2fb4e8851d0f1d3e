"""How a judge is put on trial."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from mixmerge.spec_model import SpecModel


class CalibrateSpec(SpecModel):
    """What a judge's verdicts are compared with, and on how many answers."""

    rules: Literal["testbed"] | None = None
    """The testbed's exact rules say what is right."""
    labels: Path | None = None
    """People's verdicts say what is right: JSON Lines of ``{model, axis, prompt, outcome, judge}``,
    of a random part of the prompts, one row for each person and answer."""
    questions: int = Field(50, ge=10)
    """Source prompts drawn at random on each axis; all models' answers to them, in all languages,
    are compared with the rules. People's labels say themselves which prompts they are on."""
    probes: int = Field(20, ge=0)
    """Answers that each probe changes on each axis; 0 for no probes."""

    @model_validator(mode="after")
    def _has_one_truth(self) -> Self:
        if (self.rules is None) == (self.labels is None):
            raise ValueError("give exactly one of `rules` and `labels`")
        return self
