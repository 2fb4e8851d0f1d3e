"""What a training leaves behind for reading: the loss curve, the report and the model card."""

from pathlib import Path
from typing import Literal

import yaml

from mixmerge.records.row import RowModel
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


class RowCounts(RowModel):
    """Rows of one language."""

    given: int
    used: int
    dropped: int
    """Longer than ``max_length``."""


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
    tokens: int
    """Tokens read in all steps, without padding; of pairs both answers with their prompts."""
    target_tokens: int
    """Of these, the tokens with a loss."""
    first_loss: float
    final_loss: float
    """Mean of the last tenth of the steps."""
    mask: str
    """How the assistant's tokens were found; see `mixmerge.training.encode`."""
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
    reference_reused: bool | None
    """The reference log-probabilities came from the cache; None: the objective has none."""
    resumed_from: int
    """Step of the checkpoint that this run went on from; 0: from the start."""
    setup_seconds: float
    train_seconds: float
    versions: dict[str, str]
    """Of the packages that decide the numbers."""


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
        "| language | rows used | dropped as too long |",
        "|---|---|---|",
        *(f"| {code} | {n.used} | {n.dropped} |" for code, n in report.rows.items()),
        "",
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
