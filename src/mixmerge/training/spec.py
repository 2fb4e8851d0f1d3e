"""What to train, and how the training runs. Light: importing this loads no torch."""

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
from mixmerge.training.objectives import DEFAULT, OBJECTIVES
from mixmerge.training.objectives.objective import Objective


class _Finite(SpecModel):
    model_config = ConfigDict(allow_inf_nan=False)


class AdapterSpec(_Finite):
    """A LoRA adapter: small trained matrices beside frozen weights (Hu et al. 2021)."""

    rank: int = Field(default=16, ge=1)
    """Inner size of the two matrices of each adapted layer."""
    alpha: float = Field(default=32.0, gt=0)
    """The adapter's product is scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs dropped during SFT; DPO trains without dropout."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers to adapt, e.g. ``[q_proj, v_proj]``; ``all-linear``: all but the head."""

    @field_validator("targets")
    @classmethod
    def _trainable(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not targets:
            raise ValueError("name at least one layer, or write `all-linear`")
        if "lm_head" in targets:
            raise ValueError("`lm_head` cannot be adapted: the loss reads its weight directly")
        return targets


class TrainSpec(_Finite):
    """Everything that decides the trained weights, and nothing else: the identity of a training.

    The objective that ``method`` names adds settings of its own, such as ``beta`` of DPO, and
    checks them.
    """

    model_config = ConfigDict(extra="allow")

    method: str = DEFAULT
    """The objective: ``sft`` takes conversations, ``dpo`` takes preference pairs."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak of the schedule. Left out: 2e-5 for SFT, 1e-6 for DPO."""
    epochs: float | None = Field(default=None, gt=0, le=10_000)
    """Passes over the rows; the last batch is filled up from the next pass. Left out: 1."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps, instead of ``epochs``."""
    batch_size: int = Field(default=32, ge=1)
    """Rows per optimizer step over all devices: the global batch."""
    max_length: int | None = Field(default=None, ge=2)
    """Longest row in tokens, answer included. Left out: the model's context."""
    overlong: Literal["error", "drop"] = "error"
    """Rows longer than ``max_length``: refuse them, or drop and count them. None is ever cut."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Shape of the learning rate after warm-up; linear and cosine end at zero."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps, rounded up, in which the learning rate rises from zero: the first has a
    rate of zero. A training of one step has no warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this L2 norm."""
    chat_template: ChatOptions = Field(default={}, exclude_if=lambda options: not options)
    """Options of the chat template, such as ``{enable_thinking: false}``. Ask the trained model
    with the same ones; in a study they are the study's."""
    loss_on: Literal["assistant"] = "assistant"
    """The loss reads only the tokens that the assistant writes, its end of turn included."""
    adapter: AdapterSpec | None = None
    """Train a LoRA adapter and merge it into the weights; None: train all weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic. ``auto``: bfloat16 on a GPU that has it, else float32."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the saved weights. ``auto``: that of the model trained from."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Order of the rows, dropout and the adapter's first weights."""

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
        return {**objective.defaults, **given, **checked.model_dump()}

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("give `epochs` or `max_steps`, not both")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the keys of all objectives, for editors; which has which is checked here."""
        described = handler.resolve_ref_schema(handler(schema))
        keys = described["properties"]
        keys["method"]["enum"] = list(OBJECTIVES)
        for objective in OBJECTIVES.values():
            added = handler.resolve_ref_schema(handler(objective.settings.__pydantic_core_schema__))
            keys |= {key: added["properties"][key] for key in objective.keys if key not in keys}
        return {**described, "additionalProperties": False}

    @property
    def objective(self) -> Objective:
        """The objective that ``method`` names."""
        return OBJECTIVES[self.method]

    @property
    def own(self) -> Any:
        """The objective's own settings, an instance of its ``settings``."""
        return self.objective.settings.model_validate(self.model_extra)

    def steps(self, rows: int) -> int:
        """Return the number of optimizer steps for this many rows, always of full batches."""
        if self.max_steps is not None:
            return self.max_steps
        assert self.epochs is not None
        # Of the decimals as written: in floats 1.1 epochs of 100 rows are a little over 110.
        return math.ceil(Fraction(str(self.epochs)) * rows / self.batch_size)


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
"""Seconds and tries after which a tracker that does not answer is given up."""


class TrackingSpec(_Finite):
    """An experiment tracker that hears the numbers of every training and of every finished step."""

    to: Literal["wandb", "mlflow", "trackio"]
    """Weights & Biases, MLflow or trackio; each is a package of its own, asked for by nobody
    else. Addresses and keys are the tracker's own environment variables."""
    project: str = Field(default="mixmerge", min_length=1)
    """Project, or for MLflow experiment."""

    def requires(self) -> tuple[str, ...]:
        """Return the tracker's package."""
        return (self.to,)

    def prepare(self) -> None:
        """Look for the tracker's package without importing it; let it not wait for long.

        Raises:
            ResourceError: it is not installed.
        """
        if importlib.util.find_spec(self.to) is None:
            raise ResourceError(
                f"tracking: `to: {self.to}` needs the package {self.to}, which is not installed; "
                f"run `pip install {self.to}`, or remove `tracking`."
            )
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        # Two of the three take the project from the environment only.
        os.environ.setdefault("WANDB_PROJECT", self.project)
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", self.project)


class TrainPlacement(_Finite):
    """Where and how a training runs. No part of its identity: the same rows meet the same weights.

    Results agree between placements up to the rounding of floating-point sums.
    """

    per_device_batch: int | None = Field(default=None, ge=1)
    """Rows that one device holds at once. Left out: ``batch_size / devices``. The rest of the
    global batch is reached by accumulating gradients. Halved where memory does not suffice."""
    devices: int = Field(default=1, ge=1)
    """GPUs of each machine, or processes where there is none."""
    nodes: int = Field(default=1, ge=1)
    """Machines, with ``devices`` each; more than one need a cluster (``--engine slurm`` or
    ``ray``)."""
    device: Literal["auto", "cpu"] = "auto"
    """``cpu`` leaves a GPU alone."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each process. Left out: 1 on a CPU (repeatable to the bit), torch's own
    choice beside a GPU."""
    fsdp: dict[str, Any] | None = None
    """``fsdp_config`` of the transformers Trainer; ``{}`` takes its defaults; None: off."""
    deepspeed: Path | None = None
    """A DeepSpeed configuration file."""
    activation_checkpointing: bool = False
    """Less memory, about a fifth slower."""
    save_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints from which a killed training goes on."""
    tracking: TrackingSpec | None = None
    """Where losses and learning rates go besides ``curve.jsonl``; in a study, its ``tracking``."""

    @model_validator(mode="after")
    def _one_way_to_shard(self) -> Self:
        if self.fsdp is not None and self.deepspeed is not None:
            raise ValueError("give `fsdp` or `deepspeed`, not both")
        return self

    def accumulation(self, batch_size: int, ranks: int | None = None) -> tuple[int, int]:
        """Split the global batch over ``ranks`` processes; None: ``devices`` on each of ``nodes``.

        Returns:
            Rows per device and forward pass, and passes per optimizer step.

        Raises:
            SpecError: the global batch is not a multiple of what the processes hold at once.
        """
        ranks = ranks or self.devices * self.nodes
        micro = self.per_device_batch or max(1, batch_size // ranks)
        if batch_size % (micro * ranks):
            raise SpecError(
                f"batch_size is {batch_size} rows, but {ranks} process(es) of {micro} row(s) hold "
                f"{micro * ranks} at once, which does not divide it. Change `per_device_batch`, "
                "`devices` or `nodes`; changing `batch_size` would train another model."
            )
        return micro, batch_size // (micro * ranks)


class TrainJob(_Finite):
    """The file of ``mixmerge train``: one training and nothing around it."""

    model: str
    """A Hugging Face folder, or a name on the hub."""
    rows: Path
    """JSON Lines: what the objective takes, such as conversations or preference pairs."""
    settings: TrainSpec = TrainSpec()
    """What decides the weights."""
    placement: TrainPlacement = TrainPlacement()
    """Where and how it runs."""
    reference_cache: Path | None = None
    """Folder that keeps reference log-probabilities for later runs."""

    @model_validator(mode="after")
    def _splittable(self) -> Self:
        try:
            self.placement.accumulation(self.settings.batch_size)
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self
