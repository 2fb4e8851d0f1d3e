"""The settings of a training, and where it runs. Importing this does not load torch."""

import importlib.util
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from mixmerge.chat.options import ChatOptions
from mixmerge.errors import ResourceError, SpecError
from mixmerge.spec_model import SpecModel, hint, quoted, refusal
from mixmerge.training.adapter import AdapterSpec
from mixmerge.training.kept import rising, too_late
from mixmerge.training.objectives import DEFAULT, OBJECTIVES
from mixmerge.training.objectives.objective import Objective


class _Finite(SpecModel):
    model_config = ConfigDict(allow_inf_nan=False)


class TrainSpec(_Finite):
    """The settings that determine the trained weights: the identity of a training.

    The objective that ``method`` names adds its own settings, such as DPO's ``beta``.
    """

    model_config = ConfigDict(extra="allow")

    method: str = DEFAULT
    """The objective: ``sft`` takes conversations, ``kto`` labelled answers, ``grpo`` and ``rloo``
    prompts, the others preference pairs."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak of the schedule. By default 2e-5 for SFT and 1e-6 for other objectives."""
    epochs: float | None = Field(default=None, gt=0, le=10_000)
    """Passes over the rows; the last batch is filled up from another pass. By default 1."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps, instead of ``epochs``."""
    keep_steps: tuple[int, ...] = Field(default=(), exclude_if=lambda steps: not steps)
    """Optimizer steps before the last, rising, after which the weights are kept, too."""
    batch_size: int = Field(default=32, ge=1)
    """Rows per optimizer step over all devices: the global batch. Where the model answers prompts
    several times, answers count."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest row in tokens, answer included. By default the model's context length."""
    overlong: Literal["error", "drop"] = "error"
    """Rows longer than ``max_length`` are an error, or are dropped and counted. No row is ever
    truncated."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate after warm-up; linear and cosine end at zero."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps, rounded up, in which the learning rate rises from zero: the first step
    has a rate of zero. A training of one step has no warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this L2 norm."""
    chat_template: ChatOptions = Field(default={}, exclude_if=lambda options: not options)
    """Options of the chat template, such as ``{enable_thinking: false}``. Use the same ones for
    prompts; in a study, set them once at the top."""
    loss_on: Literal["assistant"] = "assistant"
    """The loss is on the assistant's tokens only, including its end of turn."""
    adapter: AdapterSpec | None = None
    """Train a LoRA adapter and merge it into the weights. By default all weights are trained."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation. ``auto``: bfloat16 on GPUs that support it, otherwise float32."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the saved weights. ``auto``: that of the model trained from."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the order of the rows, dropout and the adapter's initial weights."""

    @model_validator(mode="before")
    @classmethod
    def _with_the_objectives_settings(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        method = given.get("method", DEFAULT)
        if not isinstance(method, str):
            return given
        if method not in OBJECTIVES:
            what = f"no such objective; known are {quoted(OBJECTIVES)}{hint(method, OBJECTIVES)}"
            raise refusal(cls, given, [(("method",), what)])
        if given.get("epochs") is None and given.get("max_steps") is None:
            given = {**given, "epochs": 1.0}
        objective = OBJECTIVES[method]
        own = {key: value for key, value in given.items() if key not in cls.model_fields}
        left_out = [key for key in objective.settings.model_fields if own.get(key) is None]
        unknown = [key for key in own if key not in (*objective.keys, *left_out)]
        if unknown:
            raise refusal(cls, given, [((key,), _why_unknown(key, objective)) for key in unknown])
        asked = {key: value for key, value in own.items() if key not in left_out}
        checked = objective.settings.model_validate(asked)
        common = {key: value for key, value in given.items() if key not in own}
        return {**objective.defaults, **common, **checked.model_dump()}

    @field_validator("keep_steps")
    @classmethod
    def _rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        return rising(steps)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("give `epochs` or `max_steps`, not both")
        if self.max_steps is not None and (said := too_late(self.keep_steps, self.max_steps)):
            raise ValueError(said)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the keys of all objectives, for editors; validation checks whose they are."""
        described = handler.resolve_ref_schema(handler(schema))
        keys = described["properties"]
        keys["method"]["enum"] = list(OBJECTIVES)
        for objective in OBJECTIVES.values():
            added = handler.resolve_ref_schema(handler(objective.settings.__pydantic_core_schema__))
            for key in objective.keys:
                own = added["properties"][key]
                keys[key] = _either(keys[key], own) if key in keys else own
        return {**described, "additionalProperties": False}

    @property
    def quantized(self) -> bool:
        """Whether the base model is quantized in training."""
        return self.adapter is not None and self.adapter.load_in_4bit

    @property
    def objective(self) -> Objective:
        """The objective that ``method`` names."""
        return OBJECTIVES[self.method]

    def split(self, placement: "TrainPlacement", ranks: int | None = None) -> int:
        """Return the rows per device and forward pass; see `TrainPlacement.accumulation`.

        Raises:
            SpecError: the global batch cannot be split so, or the objective needs more rows or
                cannot be sharded.
        """
        group = self.answers_per_prompt
        if self.batch_size % group:
            raise SpecError(
                f"`batch_size` is {self.batch_size} answers, which is not a multiple of "
                f"`num_generations` ({group}): each step has all answers to its prompts."
            )
        rows, _ = placement.accumulation(self.batch_size, ranks)
        if self.objective.teachers and (placement.fsdp is not None or placement.deepspeed):
            # Each process goes through the teachers of its own rows, so processes that share the
            # weights of a layer would wait for each other without end.
            raise SpecError(
                f"`method: {self.method}` cannot be sharded: remove `fsdp` and `deepspeed`. "
                "To save memory, set `teachers_in_turn: true`, or train an `adapter`."
            )
        if rows < self.least_rows:
            raise SpecError(
                f"`method: {self.method}` needs at least {self.least_rows} rows in each forward "
                f"pass, with these settings; there are {rows}. Change `batch_size`, or "
                "`per_device_batch`, `devices` or `nodes`."
            )
        return rows

    @property
    def least_rows(self) -> int:
        """The fewest rows of one forward pass that the objective can be computed from."""
        least = self.objective.least_rows
        return least(self.own, self.batch_size) if least else 1

    @property
    def answers_per_prompt(self) -> int:
        """Rows of a step that one row of the file is: the model's answers to a prompt, or 1."""
        count = self.objective.answers_per_prompt
        return count(self.own) if count else 1

    @property
    def own(self) -> Any:
        """The objective's own settings, an instance of its ``settings``."""
        return self.objective.settings.model_validate(self.model_extra)

    def steps(self, rows: int) -> int:
        """Return the number of optimizer steps for this many rows, always of full batches."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.epochs is not None
        # Exact decimals: as floats, 1.1 epochs of 100 rows are a little more than 110.
        rows *= self.answers_per_prompt
        return math.ceil(Fraction(str(self.epochs)) * rows / self.batch_size)


def _either(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a key that two objectives have."""
    said = [each["description"] for each in (one, other)]
    shown = ("description", "title", "default")
    ways = one.get("anyOf") or [{name: one[name] for name in one if name not in shown}]
    own = {name: other[name] for name in other if name not in shown}
    new = [way for way in own.get("anyOf", [own]) if way not in ways]
    said = said[:1] if said[1] in said[0] else said
    if not new:
        return {**one, "description": " ".join(said)}
    return {"anyOf": [*ways, *new], "description": " ".join(said), "title": one["title"]}


def _why_unknown(key: str, objective: Objective) -> str:
    owners = [f"`method: {name}`" for name, other in OBJECTIVES.items() if key in other.keys]
    if owners:
        return f"`{key}` belongs to {' or '.join(owners)}."
    known = [*TrainSpec.model_fields, *objective.keys]
    return f"unknown key; known here are {quoted(known)}{hint(key, known)}"


_PATIENCE = {
    "WANDB_LOGIN_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""Timeouts and retries, so that an unreachable tracker does not delay a training."""


class TrackingSpec(_Finite):
    """An experiment tracker for the metrics of trainings and finished steps."""

    to: Literal["wandb", "mlflow", "trackio"]
    """Weights & Biases, MLflow or trackio; install its package separately. Addresses and keys are
    the tracker's own environment variables."""
    project: str = Field(default="mixmerge", min_length=1)
    """The project; for MLflow, the experiment."""

    def requires(self) -> tuple[str, ...]:
        """Return the tracker's package."""
        return (self.to,)

    def prepare(self) -> None:
        """Check that the tracker's package is installed, and set its environment variables.

        Raises:
            ResourceError: it is not.
        """
        if importlib.util.find_spec(self.to) is None:
            raise ResourceError(
                f"tracking: `to: {self.to}` needs the package {self.to}, which is not installed; "
                f"run `pip install {self.to}`, or remove `tracking`."
            )
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        # Two of the three read the project only from the environment.
        os.environ.setdefault("WANDB_PROJECT", self.project)
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", self.project)


class TrainPlacement(_Finite):
    """Where and how a training runs; no part of its identity.

    Placements change results only through the rounding of floating-point sums.
    """

    per_device_batch: int | None = Field(default=None, ge=1)
    """Rows per device and forward pass. By default ``batch_size / devices``. Gradients are
    accumulated up to the global batch. Halved when a device runs out of memory."""
    devices: int = Field(default=1, ge=1)
    """GPUs of each machine, or processes without GPUs."""
    nodes: int = Field(default=1, ge=1)
    """Machines with ``devices`` each; more than one need a cluster (``--engine slurm`` or
    ``ray``)."""
    device: Literal["auto", "cpu"] = "auto"
    """``cpu`` does not use GPUs."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each process. By default 1 without a GPU (for bitwise reproducible results),
    and torch's default with one."""
    fsdp: dict[str, Any] | None = None
    """``fsdp_config`` of the transformers Trainer; ``{}`` is its default. By default off."""
    deepspeed: Path | None = None
    """A DeepSpeed configuration file."""
    teachers_in_turn: bool = False
    """Distillation: hold one teacher at a time on the device and the others in the memory of the
    machine, which is slower. By default all are on the device, each once."""
    activation_checkpointing: bool = False
    """Less memory, about a fifth slower."""
    save_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints, from which an interrupted training resumes."""
    tracking: TrackingSpec | None = None
    """An experiment tracker for losses and learning rates; in a study, its ``tracking``."""

    @model_validator(mode="after")
    def _one_way_to_shard(self) -> Self:
        if self.fsdp is not None and self.deepspeed is not None:
            raise ValueError("give `fsdp` or `deepspeed`, not both")
        return self

    def accumulation(self, batch_size: int, ranks: int | None = None) -> tuple[int, int]:
        """Split the global batch over ``ranks`` processes; by default ``devices * nodes``.

        Returns:
            Rows per device and forward pass, and passes per optimizer step.

        Raises:
            SpecError: the global batch is not a multiple of the rows per pass.
        """
        ranks = ranks or self.devices * self.nodes
        micro = self.per_device_batch or max(1, batch_size // ranks)
        if batch_size % (micro * ranks):
            raise SpecError(
                f"batch_size is {batch_size} rows, which is not a multiple of {micro * ranks}: "
                f"{ranks} process(es) of {micro} row(s). Change `per_device_batch`, `devices` or "
                "`nodes`; changing `batch_size` would train another model."
            )
        return micro, batch_size // (micro * ranks)


class TrainJob(_Finite):
    """The file of ``mixmerge train``: one training."""

    model: str
    """A Hugging Face folder, or a name on the hub."""
    rows: Path
    """JSON Lines of the objective's rows, such as conversations or preference pairs."""
    settings: TrainSpec = TrainSpec()
    """What determines the weights."""
    placement: TrainPlacement = TrainPlacement()
    """Where and how it runs."""
    reference_cache: Path | None = None
    """A folder to save reference log-probabilities for later runs."""
    teachers: dict[str, str] = {}
    """Distillation: by source of the rows, the folder or hub name of the teacher."""

    @model_validator(mode="after")
    def _taught(self) -> Self:
        try:
            self.settings.objective.check_teachers(self.teachers)
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _splittable(self) -> Self:
        try:
            self.settings.split(self.placement)
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _reference_is_used(self) -> Self:
        if self.reference_cache is not None and not self.settings.objective.reference:
            users = quoted(name for name, each in OBJECTIVES.items() if each.reference)
            raise ValueError(
                f"`reference_cache` belongs to objectives with a reference model ({users}); "
                f"`method: {self.settings.method}` has none, so remove it"
            )
        return self
