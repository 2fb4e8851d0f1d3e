"""The declaration of a training objective: rows, trainer and settings."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from mixmerge.errors import SpecError
from mixmerge.progress import Progress
from mixmerge.records import Conversation, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.training.encode import Encoded, Encoder

Columns = dict[str, list[Any]]
"""Encoded rows by column."""
Tokens = npt.NDArray[np.int64]
"""Of each row, shape ``(rows,)``."""

# Policy and reference are the same model at the first step. Only rounding remains: the two passes
# pad their batches differently.
_START_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}


class Settings(SpecModel):
    """The base class of an objective's own settings."""

    model_config = ConfigDict(allow_inf_nan=False)


@dataclass(frozen=True)
class Objective:
    """A training objective."""

    name: str
    paper: str
    """Where it was published."""
    rows: type[RowModel]
    """One line of the rows file: `Conversation`, `PreferencePair`, `LabelledCompletion` or another
    record."""
    encode: Callable[[Encoder, Sequence[Any], Progress], Encoded]
    """``encode(encoder, rows, progress)`` returns the columns that the trainer reads."""
    build: Callable[[dict[str, Any], Any], tuple[Any, type[Any]]]
    """``build(common, settings)`` returns TRL's configuration and a trainer class that reads the
    encoded columns. ``common`` has the arguments of every trainer, ``settings`` are this
    objective's own; anything else, such as reward functions, is bound to the class."""
    settings: type[Settings] = Settings
    """Its own keys of a training recipe, besides those of `TrainSpec`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Its defaults of common settings, if they differ."""
    reference: tuple[str, ...] = ()
    """Columns of log-probabilities under the starting model, which the trainer adds to the rows in
    ``_precompute_ref_logps`` and which are cached. Empty without a reference model."""
    check_rows: Callable[[Columns, Any], Sequence[str]] | None = None
    """``check_rows(columns, settings)`` raises `ValueError` if these rows cannot be trained on, and
    returns advice about them, a sentence each."""
    arrange: Callable[[Columns, npt.NDArray[np.int64]], Columns] | None = None
    """``arrange(columns, order)`` returns the rows of all steps one after another, where a row is
    read together with others of its step. ``order`` has shape ``(steps, batch_size)``."""
    untrained: Callable[[Tokens, npt.NDArray[np.int64]], tuple[int, int]] | None = None
    """``untrained(tokens, order)`` returns the tokens that go through the reference, and through
    the model in passes that train nothing, from the tokens of each row and the rows of each step.
    By default, each row goes through a reference once."""
    answer_length: Callable[[Any], int] | None = None
    """Where the model answers the prompts itself during the training (see
    `mixmerge.training.online`): ``answer_length(settings)`` returns the most tokens of an answer.
    By default, the rows have their answers."""
    answers_per_prompt: Callable[[Any], int] | None = None
    """Where the model answers: ``answers_per_prompt(settings)`` returns how many answers each
    prompt gets in a step; by default 1. The batch size counts answers."""
    rewarded: bool = False
    """Whether the answers are judged: ``settings.reward`` has the weight of each axis."""
    passes: Callable[[Any], tuple[int, int]] | None = None
    """Where the model answers: ``passes(settings)`` returns how often prompts and answers go
    through a reference, and through the model without a loss, after being written; by default
    never."""
    writes: Callable[[Any], bool] = lambda _settings: True
    """``writes(settings)`` returns whether the trained model itself writes the answers, and not a
    teacher."""
    teachers: bool = False
    """Whether the trainer class takes ``teachers``: the folders of the models that teach the rows
    of each source."""
    least_rows: Callable[[Any, int], int] | None = None
    """``least_rows(settings, batch_size)`` returns the fewest rows of one forward pass; by default
    1."""
    first_loss: Callable[[Any], tuple[float, float] | None] | None = None
    """``first_loss(settings)`` returns the lowest and highest loss of the first step; None if it
    depends on the rows."""
    relative_cost: float = 1.0
    """Time per row relative to SFT, for estimates."""
    label: str = ""
    """Its name in plans, cards and reports; by default the name in capitals."""
    stage: str = ""
    """The stage of models trained by it; by default the name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name.upper())
        object.__setattr__(self, "stage", self.stage or self.name)

    @property
    def online(self) -> bool:
        """Whether the model answers the prompts itself during the training."""
        return self.answer_length is not None

    def untrained_tokens(self, tokens: Tokens, order: npt.NDArray[np.int64]) -> tuple[int, int]:
        """Return what `untrained` says of these rows."""
        if self.untrained is not None:
            return self.untrained(tokens, order)
        return int(tokens.sum()) if self.reference else 0, 0

    def check_first_loss(self, loss: float, precision: str, settings: Any) -> None:
        """Check the loss of the first step, before anything is learnt.

        Raises:
            RuntimeError: it is another: with a reference, this is not the model trained from.
        """
        known = self.first_loss(settings) if self.first_loss else None
        if known is None:
            return
        least, most = known
        room = _START_TOLERANCE[precision] * max(1.0, most)
        if not least - room <= loss <= most + room:
            expected = f"{most:.4f}" if least == most else f"one from {least:.4f} to {most:.4f}"
            raise RuntimeError(
                f"{self.label} began with a loss of {loss:.4f} instead of {expected}: the "
                "reference log-probabilities are not those of the model trained from. This is a "
                "bug in mixmerge or its libraries; if a reference cache is in use, delete it."
            )

    def check_teachers(self, teachers: Collection[str]) -> None:
        """Check that teachers are given if, and only if, the objective learns from them.

        Raises:
            SpecError: they are missing, or not used.
        """
        if self.teachers and not teachers:
            raise SpecError(
                f"`method: {self.name}` needs `teachers`: for each source of the rows, the model "
                "that teaches them."
            )
        if teachers and not self.teachers:
            raise SpecError(f"`method: {self.name}` does not learn from `teachers`; remove them.")

    @property
    def takes_answers(self) -> bool:
        """Whether it learns from conversations as they are, so that a teacher can answer first."""
        return self.rows is Conversation and not self.teachers

    @property
    def keys(self) -> list[str]:
        """Its own keys of a training recipe, without those that can only be null."""
        fields = self.settings.model_fields.items()
        return [name for name, declared in fields if declared.annotation is not NoneType]
