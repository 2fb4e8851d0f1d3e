"""What a training leaves behind for reading: the loss curve and the report."""

from typing import Literal

from mixmerge.records import RowModel


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
