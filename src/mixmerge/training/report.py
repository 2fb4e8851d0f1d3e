"""What a training leaves behind for reading: the loss curve, the report and the model card."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import yaml

from mixmerge.durable import read_log
from mixmerge.errors import SpecError
from mixmerge.files import write_rows
from mixmerge.progress import Progress
from mixmerge.records import RowModel
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
    """Of conversations: share of answer tokens that were the model's first choice. Of pairs: share
    in which the chosen answer's reward is the higher."""
    margin: float | None = None
    """Of pairs: mean reward of the chosen minus that of the rejected answers."""


@dataclass
class Curve:
    """Collects one `CurvePoint` per step and appends it to ``curve.jsonl``."""

    path: Path | None
    """The file; None collects without writing (every process but the first)."""
    tokens: npt.NDArray[np.int64]
    """Tokens read up to and including each step, shape ``(steps,)``."""
    steps_per_epoch: float
    """Rows used / global batch; not always whole."""
    progress: Progress
    points: list[CurvePoint] = field(default_factory=list)
    _stream: IO[str] | None = None
    _started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def writing(self, resumed_from: int) -> Iterator[None]:
        """Keep the points up to the step of the checkpoint and open the file for the next ones."""
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
        """Take what the trainer logged after a step.

        Raises:
            SpecError: the loss is no longer a number.
        """
        if not math.isfinite(logs["loss"]):
            raise SpecError(
                f"The training diverged: its loss is {logs['loss']} at step {step}. "
                "Lower `learning_rate`, or set `precision: float32`."
            )
        norm = logs.get("grad_norm")
        point = CurvePoint(
            step=step,
            epoch=step / self.steps_per_epoch,
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=norm if norm is not None and math.isfinite(norm) else None,
            tokens=int(self.tokens[step - 1]),
            seconds=round(time.perf_counter() - self._started, 3),
            accuracy=logs.get("rewards/accuracies", logs.get("mean_token_accuracy")),
            margin=logs.get("rewards/margins"),
        )
        self.points.append(point)
        if self._stream is not None:
            self._stream.write(point.model_dump_json() + "\n")
            self._stream.flush()
        self.progress(step, len(self.tokens), f"training, loss {point.loss:.3f}")

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        last = self.points[-max(1, len(self.points) // 10) :]
        return math.fsum(point.loss for point in last) / len(last)


class RowCounts(RowModel):
    """Rows of one language."""

    given: int
    used: int
    dropped: int
    """Left out; `TrainReport.left_out` has the reasons."""


class TrainReport(RowModel):
    """The whole of ``report.json``, written last: a folder that has it is finished."""

    identity: str
    """Fingerprint of settings, rows and model: a second call with the same one returns at once."""
    method: str
    steps: int
    epochs: float
    batch_size: int
    rows: dict[str, RowCounts]
    """By language."""
    left_out: dict[str, int]
    """Rows that were not trained on, by reason."""
    tokens: int
    """Tokens read in all steps, without padding; of pairs both answers with their prompts."""
    target_tokens: int
    """Of these, the tokens with a loss."""
    first_loss: float
    final_loss: float
    """Mean of the last tenth of the steps."""
    mask: str
    """How the assistant's tokens were found; see `mixmerge.training.encode`."""
    new_stops: tuple[str, ...]
    """Tokens that end a turn in the rows and at which the model trained from did not stop: the
    trained model's ``generation_config.json`` names them."""
    date: str | None
    """What the chat template was told when it asked for the date; None: it does not ask."""
    max_length: int
    longest_row: int
    precision: Literal["float32", "bfloat16"]
    dtype: str
    """Type of the saved weights."""
    device: str
    ranks: int
    per_device_batch: int
    accumulation: int
    sharding: Literal["none", "fsdp", "deepspeed"]
    """What was really in force, which may differ from what was asked (FSDP needs GPUs)."""
    quantized: bool = False
    """QLoRA: the adapter was trained beside 4-bit weights, and merged into the full ones."""
    reference_reused: bool | None
    """The reference log-probabilities came from the cache; None: the objective has none."""
    resumed_from: int
    """Step of the checkpoint that this run went on from; 0: from the start."""
    setup_seconds: float
    train_seconds: float
    versions: dict[str, str]
    """Of the packages that decide the numbers."""

    @property
    def notes(self) -> list[str]:
        """What to know beside the numbers, a sentence each."""
        notes = [f"{n} rows left out: {reason}." for reason, n in self.left_out.items()]
        if self.new_stops:
            notes.append(
                f"The rows end their turn with {' and '.join(self.new_stops)}, where the model "
                "trained from did not stop; the trained model's generation_config.json names it."
            )
        if self.quantized:
            notes.append(
                "The adapter was trained beside the base model's weights in 4 bits and merged "
                "into those weights as they are stored, without quantization: the merged model "
                "can answer slightly differently from the one that was trained."
            )
        if self.date:
            notes.append(
                f"The chat template asks for the date and was told {self.date}; "
                "`chat_template: {strftime_now: DATE}` tells another."
            )
        return notes


def model_card(spec: TrainSpec, report: TrainReport, parent: Path | str) -> str:
    """Write a model card: what was trained from what, with which settings, rows and versions."""
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
    """Return a name without the folders of this machine: ``org/name`` or a folder's own name."""
    path = Path(model)
    if isinstance(model, str) and model.count("/") == 1 and not path.exists():
        return model
    path = path.expanduser().absolute()
    return path.parent.name if path.name == "model" else path.name
