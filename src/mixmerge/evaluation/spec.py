"""What an evaluation is asked to be: prompts, decoding, judges, and the statistics."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mixmerge.evaluation.calibration.labels import CalibrateSpec
from mixmerge.evaluation.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluation.generate_spec import (
    MODEL_NAME,
    EndpointModelSpec,
    GenerateSpec,
    TransformersSpec,
)
from mixmerge.evaluation.judge_spec import (
    ClassifierJudgeSpec,
    HumanJudgeSpec,
    LocalJudgeSpec,
    RuleJudgeSpec,
)
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records.verdict import Axis
from mixmerge.spec_model import SpecModel

__all__ = [
    "AxisSpec",
    "CalibrateSpec",
    "ClassifierJudgeSpec",
    "DecodingSpec",
    "EndpointJudgeSpec",
    "EvaluateJob",
    "EvaluateSpec",
    "HumanJudgeSpec",
    "JobModel",
    "JudgeSpec",
    "LocalJudgeSpec",
    "PanelJudgeSpec",
    "PlacementSpec",
    "PromptSetSpec",
    "RuleJudgeSpec",
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


_MEMBERS = ("rules", "local", "classifier", "human", "endpoint")


def _kind(*kinds: str) -> Discriminator:
    """Tell judges apart by the key that only they have; a tag is no key of the file itself."""

    def tag(value: Any) -> str | None:
        names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
        kind = next((kind for kind in kinds if kind in names), None)
        if kind is None and "model" in names:
            kind = "endpoint"
        return kind and f"{kind} judge"

    known = ", ".join(f"`{kind}`" for kind in kinds)
    return Discriminator(
        tag, custom_error_type="judge", custom_error_message=f"a judge has one of the keys {known}"
    )


Member = Annotated[
    Annotated[RuleJudgeSpec, Tag("rules judge")]
    | Annotated[LocalJudgeSpec, Tag("local judge")]
    | Annotated[ClassifierJudgeSpec, Tag("classifier judge")]
    | Annotated[HumanJudgeSpec, Tag("human judge")]
    | Annotated[EndpointJudgeSpec, Tag("endpoint judge")],
    _kind(*_MEMBERS),
]
"""A judge that can sit on a panel."""


class PanelJudgeSpec(SpecModel):
    """Several judges as one."""

    panel: tuple[Member, ...] = Field(min_length=1)
    """The judges."""
    keep: Literal["majority", "all"] = "majority"
    """What more than half of them say (``majority``), or every judge's verdicts."""

    @field_validator("panel", mode="before")
    @classmethod
    def _has_no_panels(cls, members: Any) -> Any:
        if isinstance(members, (list, tuple)) and any(
            isinstance(member, dict) and "panel" in member for member in members
        ):
            raise ValueError("a judge on a panel cannot be a panel itself: list its judges here")
        return members

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        return {"panel": [member.meaning() for member in self.panel], "keep": self.keep}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {
            f"{index}:{role}": path
            for index, member in enumerate(self.panel)
            for role, path in member.paths().items()
        }


JudgeSpec = Annotated[
    Annotated[PanelJudgeSpec, Tag("panel judge")]
    | Annotated[RuleJudgeSpec, Tag("rules judge")]
    | Annotated[LocalJudgeSpec, Tag("local judge")]
    | Annotated[ClassifierJudgeSpec, Tag("classifier judge")]
    | Annotated[HumanJudgeSpec, Tag("human judge")]
    | Annotated[EndpointJudgeSpec, Tag("endpoint judge")],
    _kind("panel", *_MEMBERS),
]
"""``{rules: testbed}``, ``{endpoint: URL, model: NAME}``, ``{local: MODEL}``,
``{classifier: MODEL, labels: {...}}``, ``{human: FOLDER}``, or ``{panel: [...]}``."""


def members(judge: JudgeSpec) -> tuple[Member, ...]:
    """Return the judges of a panel; a judge alone is its own."""
    return judge.panel if isinstance(judge, PanelJudgeSpec) else (judge,)


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
