"""What an evaluation is asked to be: prompts, decoding, judges, and the statistics."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mixmerge.evaluation.calibration.spec import CalibrateSpec
from mixmerge.evaluation.generate_spec import (
    MODEL_NAME,
    EndpointModelSpec,
    GenerateSpec,
    TransformersSpec,
)
from mixmerge.evaluation.judges import JudgeSpec, members
from mixmerge.evaluation.judges.classifier import ClassifierJudgeSpec
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records.verdict import Axis
from mixmerge.spec_model import SpecModel

__all__ = [
    "AxisSpec",
    "CalibrateSpec",
    "DecodingSpec",
    "EvaluateJob",
    "EvaluateSpec",
    "JobModel",
    "JudgeSpec",
    "PlacementSpec",
    "PromptSetSpec",
    "members",
]


class DecodingSpec(SpecModel):
    """How answers are decoded: the same for every model of a study."""

    max_new_tokens: int = Field(256, ge=1)
    """Where an answer is cut off."""
    temperature: float = Field(0.0, ge=0, le=10)
    """0 takes the likeliest token (greedy); above 0 samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample only from the likeliest tokens that hold this much probability together."""
    seed: int = Field(0, ge=0)
    """Of the sampling. Each prompt has its own random numbers, whatever else is asked."""

    @property
    def greedy(self) -> bool:
        """Whether no randomness is involved."""
        return self.temperature == 0


class PlacementSpec(SpecModel):
    """How answers are generated: nothing here changes what an evaluation means."""

    batch_size: int = Field(128, ge=1)
    """Prompts answered at once."""
    threads: int = Field(1, ge=1)
    """CPU threads of one process."""


class AxisSpec(SpecModel):
    """One axis: what is asked, and who judges."""

    prompts: PromptSetSpec
    """The prompts; the same for every model."""
    judge: JudgeSpec
    """The judge; the same for every model."""


class EvaluateSpec(SpecModel):
    """How the models of a study are compared."""

    general: AxisSpec
    """Questions on which a model's answers are compared with the base model's."""
    safety: AxisSpec
    """Harmful requests: is the answer harmful?"""
    over_refusal: AxisSpec | None = None
    """Harmless requests that look harmful: does the answer refuse?"""
    decoding: DecodingSpec = DecodingSpec()
    """How answers are decoded."""
    generate: GenerateSpec = TransformersSpec()
    """What generates answers: transformers, vLLM, or an endpoint that serves every model."""
    baseline: str | None = None
    """The mixture that every merge is tested against, e.g. ``mix15``: the primary contrasts."""
    draws: int = Field(10_000, ge=1000)
    """Bootstrap samples, and random sign patterns of a permutation test."""
    seed: int = Field(0, ge=0)
    """Of the statistics' draws."""
    calibrate: CalibrateSpec | None = None
    """Puts the judges on trial against labels, and corrects rates for their errors."""

    @model_validator(mode="after")
    def _every_model_is_served(self) -> Self:
        if isinstance(self.generate, EndpointModelSpec) and MODEL_NAME not in self.generate.model:
            raise ValueError(
                f"`generate.model` must hold `{MODEL_NAME}`, which stands for the name of each "
                f"model (seen: {self.generate.model!r}); without it one model would answer for all"
            )
        return self

    @model_validator(mode="after")
    def _classifiers_do_not_compare(self) -> Self:
        if any(isinstance(judge, ClassifierJudgeSpec) for judge in members(self.general.judge)):
            raise ValueError(
                "`general.judge` compares two answers, which a `classifier` cannot: use a judge "
                "model or people's verdicts there"
            )
        return self

    def axes(self) -> dict[Axis, AxisSpec]:
        """Return the axes that are evaluated, in their fixed order."""
        axes: dict[Axis, AxisSpec] = {"general": self.general, "safety": self.safety}
        if self.over_refusal is not None:
            axes["over_refusal"] = self.over_refusal
        return axes


class JobModel(SpecModel):
    """One model of a stand-alone evaluation; its folder alone may stand for it."""

    path: Path | None = None
    """A Hugging Face folder."""
    generate: EndpointModelSpec | None = None
    """The endpoint that serves this model, instead of what `EvaluateSpec.generate` says."""
    kind: Literal["mixture", "expert", "merge"] = "mixture"
    """How it came about."""
    stage: Literal["sft", "dpo"] | None = None
    """Its last training stage."""
    method: str | None = None
    """Merge method, for a merge."""

    @model_validator(mode="before")
    @classmethod
    def _from_its_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, (str, Path)) else value

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.path is None and self.generate is None:
            raise ValueError("give the model's folder as `path`, or `generate: {endpoint, model}`")
        return self


class EvaluateJob(SpecModel):
    """A stand-alone evaluation: what ``mixmerge evaluate SPEC OUT`` reads."""

    languages: tuple[str, ...] = Field(min_length=1)
    """The languages to evaluate; each must have prompts on every axis."""
    base: JobModel
    """The model that all others are compared with: its folder, or its endpoint."""
    models: dict[str, JobModel] = Field(min_length=1)
    """The other models, by the names that results will use."""
    evaluate: EvaluateSpec
    """Axes, decoding and statistics."""
    placement: PlacementSpec = PlacementSpec()
    """Batch size and threads."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for name in self.models:
            if name == "base" or not name or "/" in name or name.startswith("."):
                raise ValueError(f"`{name}` cannot name a model: use letters, digits, - and _")
        if self.evaluate.baseline not in {None, *self.models}:
            raise ValueError(
                f"`baseline` is {self.evaluate.baseline!r}, which is not among `models`: "
                f"{', '.join(self.models)}"
            )
        return self
