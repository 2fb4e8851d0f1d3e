"""What an evaluation is asked to be: prompts, decoding, judges, and the statistics."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mixmerge.evaluate.calibration.spec import CalibrateSpec
from mixmerge.evaluate.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluate.prompt_spec import PromptSetSpec
from mixmerge.evaluate.spec_model import SpecModel
from mixmerge.records.verdict import Axis

__all__ = [
    "AxisSpec",
    "CalibrateSpec",
    "DecodingSpec",
    "EndpointJudgeSpec",
    "EvaluateJob",
    "EvaluateSpec",
    "JobModel",
    "JudgeSpec",
    "PlacementSpec",
    "PromptSetSpec",
    "RuleJudgeSpec",
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


class RuleJudgeSpec(SpecModel):
    """Exact rules in place of a judge model."""

    rules: Literal["testbed"]
    """Whose rules: the testbed's know the right answers and the shape of a refusal."""


def _kind_of_judge(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "rules" if "rules" in names else "endpoint"


JudgeSpec = Annotated[
    Annotated[RuleJudgeSpec, Tag("rules")] | Annotated[EndpointJudgeSpec, Tag("endpoint")],
    Discriminator(_kind_of_judge),
]
"""``{rules: testbed}``, or ``{endpoint: URL, model: NAME, ...}``."""


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
    baseline: str | None = None
    """The mixture that every merge is tested against, e.g. ``mix15``: the primary contrasts."""
    draws: int = Field(10_000, ge=1000)
    """Bootstrap samples, and random sign patterns of a permutation test."""
    seed: int = Field(0, ge=0)
    """Of the statistics' draws."""
    calibrate: CalibrateSpec | None = None
    """Puts the judges on trial against labels, and corrects rates for their errors."""

    def axes(self) -> dict[Axis, AxisSpec]:
        """Return the axes that are evaluated, in their fixed order."""
        axes: dict[Axis, AxisSpec] = {"general": self.general, "safety": self.safety}
        if self.over_refusal is not None:
            axes["over_refusal"] = self.over_refusal
        return axes


class JobModel(SpecModel):
    """One model of a stand-alone evaluation; its folder alone may stand for it."""

    path: Path
    """A Hugging Face folder."""
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


class EvaluateJob(SpecModel):
    """A stand-alone evaluation: what ``mixmerge evaluate SPEC OUT`` reads."""

    languages: tuple[str, ...] = Field(min_length=1)
    """The languages to evaluate; each must have prompts on every axis."""
    base: Path
    """Folder of the model that all others are compared with."""
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
