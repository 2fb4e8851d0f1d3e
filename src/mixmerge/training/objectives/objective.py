"""The declaration of a training objective: rows, trainer and settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from mixmerge.progress import Progress
from mixmerge.records import RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.training.encode import Encoded, Encoder

Columns = dict[str, list[Any]]
"""Encoded rows by column."""


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
    least_rows: Callable[[Any, int], int] | None = None
    """``least_rows(settings, batch_size)`` returns the fewest rows of one forward pass; by default
    1."""
    check_start: Callable[[float, str, Any], None] | None = None
    """``check_start(loss, precision, settings)`` raises if the first loss is wrong."""
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
    def keys(self) -> list[str]:
        """Its own keys of a training recipe, without those that can only be null."""
        fields = self.settings.model_fields.items()
        return [name for name, declared in fields if declared.annotation is not NoneType]
