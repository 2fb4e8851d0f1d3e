"""The `sweep` and `selection` sections: what of a merge to try, and on which prompts."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.merging.spec import MergeSpec
from mixmerge.records import Axis
from mixmerge.spec_model import SpecModel
from mixmerge.training.kept import rising

Share = Annotated[float, Field(ge=0, le=1)]
Value = Share | Annotated[tuple[Share, ...], Field(min_length=2)]
"""A weight, or a gradient of weights from the first layer to the last."""


class SweepSpec(SpecModel):
    """Weights to try for one model of a merge; the other models share the rest equally."""

    weight_of: str
    """The model whose weight is tried."""
    values: list[Value] = Field(min_length=2)
    """Its weights between 0 and 1, or gradients of such weights, as ``[0, 0.5, 1]``."""

    @field_validator("values")
    @classmethod
    def _have_names_of_their_own(cls, values: list[Value]) -> list[Value]:
        names = [_text(value) for value in values]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"two values are called `{twice[0]}`, since candidates are named after the first "
                "six digits of their weight: leave one of them out"
            )
        return values

    @property
    def is_path(self) -> bool:
        """Whether every weight is one number, so that the merges lie on a line."""
        return all(isinstance(value, float) for value in self.values)

    def merges(self, name: str, merge: MergeSpec) -> dict[str, MergeSpec]:
        """Return the merges to try, named after ``name`` and the weight: ``sft-slerp-0.3``."""
        return {f"{name}-{_text(value)}": self._with_weight(merge, value) for value in self.values}

    def _with_weight(self, merge: MergeSpec, value: Value) -> MergeSpec:
        others = len(merge.models) - 1
        models = {
            model: own | {"weight": value if model == self.weight_of else _rest(value, others)}
            for model, own in merge.models.items()
        }
        return merge.model_copy(update={"models": models})


class StepSweep(SpecModel):
    """Lengths of training to try: all models of a merge as they were after the same step."""

    steps: tuple[int, ...] = Field(min_length=2)
    """Optimizer steps, rising. Each model is a training that keeps these steps (``keep_steps`` of
    its recipe) or ends at them."""

    @field_validator("steps")
    @classmethod
    def _rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        return rising(steps)

    def merges(
        self, name: str, merge: MergeSpec, at: Mapping[int, Mapping[str, str]]
    ) -> dict[str, MergeSpec]:
        """Return the merges to try, named after ``name`` and the step: ``linear-200``.

        ``at`` has, by step, the checkpoint that stands for each model.
        """
        return {
            f"{name}-{step}": merge.model_copy(
                update={"models": {at[step][model]: own for model, own in merge.models.items()}}
            )
            for step in self.steps
        }


def _rest(value: Value, others: int) -> Value:
    if isinstance(value, tuple):
        return tuple(round((1 - each) / others, 12) for each in value)
    return round((1 - value) / others, 12)


def _text(value: Value) -> str:
    return "_".join(f"{each:g}" for each in (value if isinstance(value, tuple) else [value]))


class SelectionSpec(SpecModel):
    """Prompts on which candidates are compared, judged as in ``evaluate``; the best score wins.

    The prompts must differ from those of ``evaluate``, since the winner's score on the prompts that
    it was chosen on is biased upwards.
    """

    prompts: dict[Axis, PromptSetSpec] = Field(min_length=1)
    """By axis of ``evaluate``; an axis without prompts here is ignored."""
    weights: dict[Axis, Annotated[float, Field(ge=0)]] = {}
    """How much each axis counts: the score is the sum of weight times value, where values count
    negatively on axes where lower is better, and grades count as shares of their range. By default
    each deciding axis counts 1 and the others 0."""

    limits: dict[Axis, float] = {}
    """The worst acceptable value by axis, in its units: at most 0.2 refused answers, at least 6 of
    10. The best candidate within all limits wins; if there is none, the nearest to them."""

    def evaluation(self, evaluate: EvaluateSpec) -> EvaluateSpec:
        """Return a study's evaluation with these prompts in place of its own."""
        return evaluate.with_prompts(
            (axis, self.prompts[axis]) for axis in evaluate.axes if axis in self.prompts
        )

    def weight(self, axis: Axis, evaluate: EvaluateSpec) -> float:
        """Return how much an axis counts."""
        return self.weights.get(axis, float(axis in evaluate.deciding))
