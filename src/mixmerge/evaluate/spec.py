"""What an evaluation is asked to be: prompts, decoding, judges, and the statistics."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from mixmerge.records.verdict import Axis


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DecodingSpec(_Spec):
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


class PlacementSpec(_Spec):
    """How answers are generated: nothing here changes what an evaluation means."""

    batch_size: int = Field(128, ge=1)
    """Prompts answered at once."""
    threads: int = Field(1, ge=1)
    """CPU threads of one process."""


class PromptColumns(_Spec):
    """Which column of the data holds what; a field left out is looked up under its own name."""

    prompt: str | None = None
    """The user's text, or a list of ``{role, content}`` that ends with the user's turn."""
    id: str | None = None
    """A name of the prompt, unique in the set; by default a digest of language and text."""
    cluster: str | None = None
    """The source question that translations share; by default every prompt is its own."""
    language: str | None = None
    """The prompt's language."""
    category: str | None = None
    """For example a harm category; a JSON list inside a string is read as such."""
    accepted: str | None = None
    """Right answers, where there are any: a text or a list of texts."""


class PromptSetSpec(_Spec):
    """Prompts of one axis: the testbed's, local files, or a Hugging Face data set."""

    testbed: Literal["dev", "test"] | None = None
    """A split of the testbed."""
    files: Path | list[Path] | dict[str, Path] | None = None
    """JSON Lines files: one, several, or one a language."""
    hub: str | None = None
    """A data set of the Hugging Face hub, or a local data set folder."""
    config: str | None = None
    """Configuration of the hub data set."""
    split: str = "test"
    """Split of the hub data set."""
    revision: str | None = None
    """Commit or tag of the hub data set: give one, or a rerun may ask other prompts."""
    columns: PromptColumns = PromptColumns()
    """Which column holds what."""
    language: str | None = None
    """The language of all prompts, where no column says it."""
    language_names: dict[str, str] = {}
    """How this set names the languages, e.g. ``{English: en}``."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        origins = [self.testbed, self.files, self.hub]
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("give exactly one of `testbed`, `files` and `hub`")
        if self.hub is None and (self.config or self.revision or self.split != "test"):
            raise ValueError("`config`, `split` and `revision` belong to `hub`")
        if self.files in ([], {}):
            raise ValueError("`files` is empty: name at least one file")
        return self


class RuleJudgeSpec(_Spec):
    """Exact rules in place of a judge model."""

    rules: Literal["testbed"]
    """Whose rules: the testbed's know the right answers and the shape of a refusal."""


class EndpointJudgeSpec(_Spec):
    """A judge model behind any OpenAI-compatible chat endpoint."""

    endpoint: str = Field(pattern=r"^https?://\S+$")
    """Base address, e.g. ``https://api.openai.com/v1`` or ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """The judge's name at that endpoint."""
    api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key; the key itself is never written anywhere."""
    quality_rubric: str = "quality@1"
    """How two answers are compared: name and version of a rubric."""
    harm_rubric: str = "harm@1"
    """How an answer to a harmful request is judged."""
    refusal_rubric: str = "refusal@1"
    """How an answer to a harmless request is judged."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Of the judge's own decoding."""
    max_tokens: int = Field(512, ge=1)
    """Where the judge's reply is cut off."""
    concurrency: int = Field(16, ge=1)
    """Calls in flight at once. Placement: changes no verdict."""
    attempts: int = Field(6, ge=1)
    """Tries of one call before its verdict is an ``error``. Placement."""
    timeout_seconds: float = Field(60.0, gt=0)
    """For one try. Placement."""
    longest_wait_seconds: float = Field(120.0, gt=0)
    """The most that a ``Retry-After`` or a back-off may ask before the call is given up."""

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts: not address, key, speed or patience."""
        return self.model_dump(
            include={
                "model",
                "quality_rubric",
                "harm_rubric",
                "refusal_rubric",
                "temperature",
                "max_tokens",
            }
        )


def _kind_of_judge(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "rules" if "rules" in names else "endpoint"


JudgeSpec = Annotated[
    Annotated[RuleJudgeSpec, Tag("rules")] | Annotated[EndpointJudgeSpec, Tag("endpoint")],
    Discriminator(_kind_of_judge),
]
"""``{rules: testbed}``, or ``{endpoint: URL, model: NAME, ...}``."""


class AxisSpec(_Spec):
    """One axis: what is asked, and who judges."""

    prompts: PromptSetSpec
    """The prompts; the same for every model."""
    judge: JudgeSpec
    """The judge; the same for every model."""


class EvaluateSpec(_Spec):
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

    def axes(self) -> dict[Axis, AxisSpec]:
        """Return the axes that are evaluated, in their fixed order."""
        axes: dict[Axis, AxisSpec] = {"general": self.general, "safety": self.safety}
        if self.over_refusal is not None:
            axes["over_refusal"] = self.over_refusal
        return axes


class JobModel(_Spec):
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


class EvaluateJob(_Spec):
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
