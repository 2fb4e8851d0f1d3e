"""The checkpoints of a study file: given, trained, merged, or chosen from others."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from mixmerge.evaluation.generate_spec import EndpointModelSpec
from mixmerge.evaluation.spec import AnswersSpec
from mixmerge.merging.spec import MergeSpec
from mixmerge.records.results import Stage
from mixmerge.spec_model import SpecModel, one_of
from mixmerge.study.selection import StepSweep, SweepSpec

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
"""At most 100 letters, digits, ``_``, ``.`` and ``-``: names become folders."""


class Given(SpecModel):
    """A checkpoint that exists already; its folder or hub name alone is the short form."""

    model: str | None = None
    """A Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    generate: EndpointModelSpec | None = None
    """The endpoint that serves this model, instead of what `EvaluateSpec.generate` says."""
    stage: Stage = Field("given", min_length=1)
    """Its last stage of training, e.g. ``sft``: it is compared with models of this stage."""
    kind: Literal["given", "mixture", "expert", "merge"] = "given"
    """How it was made, if known. A ``merge`` is tested against the baseline."""
    method: str | None = None
    """Merge method, for a merge."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.model is None and self.generate is None:
            raise ValueError("give the model's folder as `model`, or `generate: {endpoint, model}`")
        return self


class Trained(SpecModel):
    """A checkpoint that is trained."""

    model_config = ConfigDict(validate_by_name=True)

    train: str
    """Name of a training recipe."""
    mixture: str
    """Name of the mixture it is trained on."""
    start: str | None = None
    """The checkpoint it starts from; the study's base model by default."""
    teachers: dict[Name, str] = Field(default={}, exclude_if=lambda teachers: not teachers)
    """For distillation: the checkpoint that teaches the rows of each source of the mixture. With an
    objective that learns from conversations, such as ``sft``, it answers their prompts before."""
    answers: AnswersSpec | None = Field(default=None, exclude_if=lambda asked: asked is None)
    """How such teachers answer; what is left out is as in `EvaluateSpec.decoding`."""
    stage: Stage | None = Field(None, min_length=1)
    """Its stage, the objective's by default: it is compared and merged with models of it."""


class Kept(Trained):
    """A training as it was after one of the steps that its recipe keeps; no user writes it."""

    of: str
    """The checkpoint that the training makes."""
    step: int
    """Optimizer steps."""


if TYPE_CHECKING:
    AnySweep = SweepSpec | StepSweep
else:
    AnySweep = one_of({"weight_of": SweepSpec, "steps": StepSweep}, "sweep")
    """``{weight_of: a, values: [0.3, 0.7]}`` or ``{steps: [100, 200]}``."""


class Merged(SpecModel):
    """A checkpoint that is a merge of others."""

    merge: MergeSpec
    """Method, models and weights."""
    sweep: AnySweep | None = None
    """Try several weights of one model, or lengths of training of all; the checkpoint is the merge
    that scores best on the prompts of ``selection``."""


class Selected(SpecModel):
    """The one of several checkpoints that scores best on the prompts of ``selection``."""

    select: list[str] = Field(min_length=2)
    """The checkpoints to choose from; the first wins a tie."""


def _from_its_name(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


if TYPE_CHECKING:
    CheckpointSpec = Given | Trained | Merged | Selected
    BaseSpec = Given
else:
    _KINDS = {"merge": Merged, "select": Selected, "train": Trained, "model": Given}
    CheckpointSpec = Annotated[
        one_of(_KINDS | {"generate": Given}, "checkpoint"), BeforeValidator(_from_its_name)
    ]
    """``{train: sft, mixture: m15}``, ``{merge: {method: slerp, models: [a, b]}}``,
    ``{select: [a, b]}``, or ``{model: PATH}``, for which the path alone may stand."""
    BaseSpec = Annotated[Given, BeforeValidator(_from_its_name)]
