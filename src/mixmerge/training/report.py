"""The loss curve, the report and the model card of a training."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field

from mixmerge.durable import read_log
from mixmerge.errors import SpecError
from mixmerge.files import write_rows
from mixmerge.progress import Progress
from mixmerge.records import RowModel
from mixmerge.training.online import TEACHER
from mixmerge.training.spec import TrainSpec


class CurvePoint(RowModel):
    """One line of ``curve.jsonl``: one optimizer step."""

    step: int
    epoch: float
    """Rows seen so far / rows used."""
    loss: float
    """Mean over the global batch, before the step's update."""
    learning_rate: float
    grad_norm: float | None
    """L2 norm of the gradient before clipping."""
    tokens: int
    """Tokens read since the first step, without padding."""
    seconds: float
    """Since this process began to train; starts again when a training is resumed."""
    accuracy: float | None = None
    """Of conversations: share of answer tokens that are the model's top prediction. Of pairs: share
    in which the chosen answer's reward is higher."""
    margin: float | None = None
    """Of pairs: mean reward of the chosen minus the rejected answers."""
    reward: float | None = None
    """Mean reward of the answers that the model wrote in this step."""
    generated: int | None = None
    """Tokens that the model wrote in this step, where it answers the prompts itself."""
    unfinished: int | None = None
    """Of these answers, those that ended at the limit of tokens."""
    teacher_tokens: dict[str, int] = Field(
        default_factory=dict, exclude_if=lambda tokens: not tokens
    )
    """Tokens that the teacher of each source read in this step."""


@dataclass
class Curve:
    """Collects one `CurvePoint` per step and appends it to ``curve.jsonl``."""

    path: Path | None
    """The file; None (on every rank but the first) only collects."""
    steps: int
    tokens: npt.NDArray[np.int64] | None
    """Tokens read up to and including each step, shape ``(steps,)``; None where the trainer logs
    them, because the model answers the prompts itself."""
    steps_per_epoch: float
    """Rows used / global batch; not always whole."""
    progress: Progress
    points: list[CurvePoint] = field(default_factory=list)
    _stream: IO[str] | None = None
    _started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def writing(self, resumed_from: int) -> Iterator[None]:
        """Keep the points up to the checkpoint's step, and open the file to append."""
        self._started = time.perf_counter()
        if self.path is None:
            yield
            return
        written = read_log(self.path, CurvePoint.model_validate_json)
        self.points = [point for point in written if point.step <= resumed_from]
        write_rows(self.path, self.points)
        with self.path.open("a", encoding="utf-8") as self._stream:
            yield

    def add(self, step: int, logs: dict[str, float]) -> None:
        """Add what the trainer logged after a step.

        Raises:
            SpecError: the loss is not finite.
        """
        if not math.isfinite(logs["loss"]):
            raise SpecError(
                f"The training diverged: its loss is {logs['loss']} at step {step}. "
                "Lower `learning_rate`, or set `precision: float32`."
            )
        norm = logs.get("grad_norm")
        tokens = logs["num_tokens"] if self.tokens is None else self.tokens[step - 1]
        point = CurvePoint(
            step=step,
            epoch=step / self.steps_per_epoch,
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=norm if norm is not None and math.isfinite(norm) else None,
            tokens=int(tokens),
            seconds=round(time.perf_counter() - self._started, 3),
            accuracy=logs.get("rewards/accuracies", logs.get("mean_token_accuracy")),
            margin=logs.get("rewards/margins"),
            reward=logs.get("reward"),
            generated=_count(logs, "generated_tokens"),
            unfinished=_count(logs, "unfinished_answers"),
            teacher_tokens={
                name.removeprefix(TEACHER): round(count)
                for name, count in logs.items()
                if name.startswith(TEACHER)
            },
        )
        self.points.append(point)
        if self._stream is not None:
            self._stream.write(point.model_dump_json() + "\n")
            self._stream.flush()
        self.progress(step, self.steps, f"training, loss {point.loss:.3f}")

    @property
    def teacher_tokens(self) -> dict[str, int]:
        """Tokens that the teacher of each source has read."""
        total: Counter[str] = Counter()
        for point in self.points:
            total.update(point.teacher_tokens)
        return dict(total)

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        last = self.points[-max(1, len(self.points) // 10) :]
        return math.fsum(point.loss for point in last) / len(last)


def _count(logs: dict[str, float], name: str) -> int | None:
    return round(logs[name]) if name in logs else None


def training_flops(weights: int, trained: int, tokens: int, *, forward_tokens: int = 0) -> int:
    """Return the floating-point operations of a training by the usual rule.

    A forward pass takes 2 per weight and token, the gradients of activations 2, and the gradients
    of weights 2 for each trained weight: 6 in all when every weight is trained (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1). Attention between tokens is left out, as it is there; recomputed
    activations are, too.

    Args:
        weights: of the model.
        trained: weights that are trained: all, or those of the adapter.
        tokens: tokens trained on.
        forward_tokens: tokens that go through a model of the same size without training it.
    """
    return tokens * (4 * weights + 2 * trained) + 2 * weights * forward_tokens


class RowCounts(RowModel):
    """Rows of one language."""

    given: int
    used: int
    dropped: int
    """`TrainReport.left_out` has the reasons."""


class TrainReport(RowModel):
    """The content of ``report.json``, which is written last: a folder with it is finished."""

    identity: str
    """Fingerprint of settings, rows and model; a repeated call with the same one does nothing."""
    method: str
    steps: int
    epochs: float
    batch_size: int
    rows: dict[str, RowCounts]
    """By language."""
    left_out: dict[str, int]
    """Rows that were not trained on, by reason."""
    tokens: int
    """Tokens read in all steps, without padding; for pairs, both answers with their prompts."""
    target_tokens: int
    """Of these, the tokens with a loss."""
    reference_tokens: int = 0
    """Tokens under the reference model, also if a cache had them: for DPO each row once, for KTO
    the rows of each step and as many mismatched answers."""
    forward_tokens: int = 0
    """Tokens that go through the trained model without a loss: KTO's mismatched answers, and the
    prompts and answers where the model writes them."""
    generated_tokens: int = 0
    """Tokens that the model wrote in training; they are the tokens with a loss."""
    unfinished: int = 0
    """Of the answers that the model wrote, those that ended at the limit of tokens."""
    teacher_tokens: dict[str, int] = Field(default_factory=dict)
    """Tokens that the teacher of each source has read."""
    teacher_weights: dict[str, int] = Field(default_factory=dict)
    """Of the teacher of each source."""
    weights: int
    """Of the model."""
    trained_weights: int
    """Of the model or, with LoRA, of the adapter."""
    first_loss: float
    final_loss: float
    """Mean of the last tenth of the steps."""
    mask: str
    """How the assistant's tokens were found; see `mixmerge.training.encode`."""
    new_stops: tuple[str, ...]
    """End-of-turn tokens of the rows that were not stop tokens of the model trained from; they are
    in the trained model's ``generation_config.json``."""
    advice: tuple[str, ...] = ()
    """What the objective says about the rows."""
    date: str | None
    """The date that the chat template was given; None if it does not ask for one."""
    max_length: int
    longest_row: int
    precision: Literal["float32", "bfloat16"]
    dtype: str
    """Of the saved weights."""
    device: str
    ranks: int
    per_device_batch: int
    accumulation: int
    sharding: Literal["none", "fsdp", "deepspeed"]
    """What was actually used."""
    quantized: bool = False
    """QLoRA: the adapter was trained on 4-bit weights and merged into the original ones."""
    reference_reused: bool | None
    """Whether reference log-probabilities came from the cache; None without a reference."""
    resumed_from: int
    """The step of the checkpoint that this run resumed from; 0 if none."""
    setup_seconds: float
    train_seconds: float
    versions: dict[str, str]
    """Of the packages that affect the numbers."""

    @property
    def flops(self) -> int:
        """Floating-point operations of the training, its reference and its teachers.

        See `training_flops`.
        """
        forward = self.reference_tokens + self.forward_tokens
        own = training_flops(
            self.weights, self.trained_weights, self.tokens, forward_tokens=forward
        )
        taught = self.teacher_tokens.items()
        return own + sum(2 * self.teacher_weights[source] * tokens for source, tokens in taught)

    @property
    def notes_on_rows(self) -> list[str]:
        """Notes about rows that were left out, and about answers, a sentence or two each."""
        notes = [f"{n} rows left out: {reason}." for reason, n in self.left_out.items()]
        notes += self.advice
        if self.unfinished:
            answers = self.steps * self.batch_size
            notes.append(
                f"{self.unfinished:,} of {answers:,} answers did not end within "
                "`max_completion_length` tokens; they were cut off there and trained on."
            )
        return notes

    @property
    def notes(self) -> list[str]:
        """Notes for the user, a sentence or two each."""
        notes = self.notes_on_rows
        if self.new_stops:
            notes.append(
                f"The rows end their turn with {' and '.join(self.new_stops)}, which was not a "
                "stop token of the model trained from; the trained model's generation_config.json "
                "has it."
            )
        if self.quantized:
            notes.append(
                "The adapter was trained on the base model quantized to 4 bits and merged into "
                "the base model's original weights: the merged model can answer slightly "
                "differently from the model in training."
            )
        if self.date:
            notes.append(
                f"The chat template asks for today's date and was given {self.date}; to change "
                "it, set `chat_template: {strftime_now: DATE}`."
            )
        return notes


def model_card(spec: TrainSpec, report: TrainReport, parent: Path | str) -> str:
    """Return the model card: parent, settings, rows and versions."""
    settings = spec.model_dump(mode="json", exclude_none=True)
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [mixmerge, {spec.method}]",
        # Quoted where YAML reads something else: `no` is Norwegian, not false.
        f"language: {yaml.safe_dump([*report.rows], default_flow_style=True, width=10**6).strip()}",
        "---",
        f"# {spec.objective.label} of {parent_name(parent)}",
        "",
        (
            f"Trained by mixmerge: {report.steps} steps of {report.batch_size} rows, "
            f"{report.tokens} tokens read, {report.target_tokens} of them with a loss."
        ),
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in settings.items()),
        f"| arithmetic | {report.precision} |",
        f"| processes | {report.ranks} |",
        "",
        "| language | rows used | rows left out |",
        "|---|---|---|",
        *(f"| {code} | {n.used} | {n.dropped} |" for code, n in report.rows.items()),
        "",
        *(f"{note}\n" for note in report.notes),
        "Versions: " + ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        "",
        f"Identity of the training: `{report.identity}`",
        "",
    ]
    return "\n".join(lines)


def parent_name(model: Path | str) -> str:
    """Return a model's name without local paths: ``org/name`` or the folder's name."""
    path = Path(model)
    if isinstance(model, str) and model.count("/") == 1 and not path.exists():
        return model
    path = path.expanduser().absolute()
    return path.parent.name if path.name == "model" else path.name
