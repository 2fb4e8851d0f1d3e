"""What a training leaves behind for reading: the loss curve and the report."""

from typing import Literal

from mixmerge.records.row import RowModel


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
        if self.date:
            notes.append(
                f"The chat template asks for the date and was told {self.date}; "
                "`chat_template: {strftime_now: DATE}` tells another."
            )
        return notes
