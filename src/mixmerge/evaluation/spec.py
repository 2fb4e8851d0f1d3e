"""The settings of an evaluation: axes, decoding and statistics."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mixmerge.chat.options import ChatOptions
from mixmerge.evaluation.calibration.labels import CalibrateSpec
from mixmerge.evaluation.generate_spec import (
    MODEL_NAME,
    EndpointModelSpec,
    GenerateSpec,
    TransformersSpec,
)
from mixmerge.evaluation.judges import JudgeSpec, members
from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.sources import SOURCES, ScoredAxis
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis
from mixmerge.records.results import Stage
from mixmerge.spec_model import SpecModel, one_of

AxisName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Letters, digits, ``_``, ``.`` and ``-``, since names become file names."""


class DecodingSpec(SpecModel):
    """How answers are decoded: the same for every model of a study."""

    max_new_tokens: int = Field(256, ge=1)
    """The limit of an answer."""
    temperature: float = Field(0.0, ge=0, le=10)
    """0 is greedy decoding; above 0 samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling: sample only from the most probable tokens with this total probability."""
    chat_template: ChatOptions = Field(default={}, exclude_if=lambda options: not options)
    """Options of the chat template, such as ``{enable_thinking: false}``: the same as in training.
    In a study, set them once at the top."""
    seed: int = Field(0, ge=0)
    """Of the sampling. Each prompt's random numbers are independent of the other prompts."""

    @property
    def greedy(self) -> bool:
        """Whether decoding is deterministic."""
        return self.temperature == 0

    def seed_of(self, text: str) -> int:
        """Return a seed below 2**31 that depends only on this decoding's seed and the prompt."""
        return int(fingerprint([self.seed, text])[:8], 16) >> 1


class AnswersSpec(DecodingSpec):
    """How teachers answer prompts for a student that is trained on these answers."""

    unfinished: Literal["keep", "drop"] = "keep"
    """What to do with answers that reach ``max_new_tokens``: train on them as if they ended there,
    or leave them out. Both are counted."""


class GeneratePlacement(SpecModel):
    """How answers are generated; no part of the evaluation's identity."""

    batch_size: int = Field(128, ge=1)
    """Prompts per batch."""
    threads: int = Field(1, ge=1)
    """CPU threads of one process."""


class JudgePlacement(SpecModel):
    """How local judges run; no part of their identity."""

    threads: int = Field(1, ge=1)
    """CPU threads of one process."""


class AxisSpec(MeasuredAxis):
    """One axis whose answers are judged: prompts, judge and measure."""

    prompts: PromptSetSpec
    """The prompts; the same for every model."""
    judge: JudgeSpec
    """The judge; the same for every model."""

    @model_validator(mode="after")
    def _judge_can_answer(self) -> Self:
        self.judge.check(self.measure.question(""))
        return self


if TYPE_CHECKING:
    AnyAxis = AxisSpec | ScoredAxis
else:
    AnyAxis = one_of({"prompts": AxisSpec, "judge": AxisSpec, **SOURCES}, "kind of axis")
    """``{prompts: …, judge: …, measure: …}``, or what scores the models: ``{lm_eval: …}``."""


class ResultsSpec(SpecModel):
    """What is estimated from verdicts."""

    study: str
    seed: int = 0
    """Of all draws."""
    draws: int = 10_000
    """Bootstrap samples, and sign patterns of the permutation tests."""
    axes: dict[Axis, MeasuredAxis]
    """In the order of the report."""
    decide_on: list[Axis] = []
    """The axes whose contrasts are tested and decide; by default all."""
    baselines: dict[Stage, str] = {}
    """The model that merges are tested against, by stage."""
    prompts_of: dict[Axis, Axis] = Field(default={}, exclude_if=lambda axes: not axes)
    """The axis that an axis has its prompts and answers from, where that is another one."""
    match_on: Axis | None = None
    """Sweeps are compared with the baseline at the baseline's value of this axis."""
    sweeps: dict[str, list[str]] = {}
    """The merges of each sweep that is compared so, in the order of their weights."""
    lengths: dict[str, dict[int, str]] = Field(default={}, exclude_if=lambda lengths: not lengths)
    """By training or by merge over steps: its models after so many steps."""
    chosen_on: dict[Axis, float] = Field(default={}, exclude_if=lambda axes: not axes)
    """How much each axis counts where merges over steps are chosen."""
    weights: dict[Axis, float] = {}
    """How much each deciding axis counts when a model is recommended; by default 1."""
    limits: dict[Axis, float] = {}
    """The worst value of a model that may be recommended, by axis and in its units."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class EvaluateSpec(SpecModel):
    """How the models of a study are compared."""

    axes: dict[AxisName, AnyAxis] = Field(min_length=1)
    """What models are measured on, with names of your choice."""
    decide_on: tuple[Axis, ...] = ()
    """The axes that decide which model is better; by default all. The others are only shown."""
    baseline: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    """The checkpoint that merges are tested against: one for all, or one for each stage. Without
    it, every checkpoint is tested against the base model."""
    match_on: Axis | None = None
    """Compare each sweep with the baseline of its stage at the baseline's value of this axis, by
    interpolation between neighbouring weights. Every merge of the sweep is then evaluated, too."""
    decoding: DecodingSpec = DecodingSpec()
    """How answers are decoded."""
    generate: GenerateSpec = TransformersSpec()
    """The backend: transformers, vLLM, or an endpoint that serves every model."""
    draws: int = Field(10_000, ge=1000)
    """Bootstrap samples, and random sign patterns of a permutation test."""
    calibrate: CalibrateSpec | None = None
    """Compare the judges with labels, and correct rates for their errors."""
    allow_execution: bool = False
    """Whether a judge may run code that models wrote; see the judge ``tests``."""

    @model_validator(mode="after")
    def _every_model_is_served(self) -> Self:
        if isinstance(self.generate, EndpointModelSpec) and MODEL_NAME not in self.generate.model:
            raise ValueError(
                f"`generate.model` must contain `{MODEL_NAME}`, which stands for the name of each "
                f"model (seen: {self.generate.model!r}); without it one model would answer for all"
            )
        return self

    @model_validator(mode="after")
    def _code_may_run(self) -> Self:
        for axis, spec in self.judged.items():
            if not self.allow_execution and any(one.runs_code for one in members(spec.judge)):
                raise ValueError(
                    f"the judge of `{axis}` runs code that models wrote: to allow that, set "
                    "`allow_execution: true` here (docs: evaluate, Answers that are programs)"
                )
        return self

    @property
    def judged(self) -> dict[Axis, AxisSpec]:
        """The axes on which models answer prompts and a judge reads the answers."""
        return {axis: spec for axis, spec in self.axes.items() if isinstance(spec, AxisSpec)}

    def answered(self, axis: Axis) -> Axis:
        """Return the axis whose answers a judged axis has: the first one with the same prompts."""
        prompts = self.judged[axis].prompts
        return next(first for first, spec in self.judged.items() if spec.prompts == prompts)

    @property
    def scored(self) -> dict[Axis, ScoredAxis]:
        """The axes whose scores come from a harness or a log."""
        return {axis: spec for axis, spec in self.axes.items() if isinstance(spec, ScoredAxis)}

    @property
    def deciding(self) -> tuple[Axis, ...]:
        """The axes that decide, in the order of `axes`."""
        return tuple(axis for axis in self.axes if axis in (self.decide_on or self.axes))

    def with_prompts(self, prompts: Iterable[tuple[Axis, PromptSetSpec]]) -> Self:
        """Return the same evaluation with other prompts, on their axes only."""
        judged = self.judged
        axes = {axis: judged[axis].model_copy(update={"prompts": own}) for axis, own in prompts}
        return self.model_copy(update={"axes": axes})
