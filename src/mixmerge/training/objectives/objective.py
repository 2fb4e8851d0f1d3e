"""What a training objective is: its rows, its trainer and its own settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from pydantic import ConfigDict

from mixmerge.progress import Progress
from mixmerge.records import RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.training.encode import Encoded, Encoder


class Settings(SpecModel):
    """What an objective adds to the settings of every training; by itself nothing."""

    model_config = ConfigDict(allow_inf_nan=False)


@dataclass(frozen=True)
class Objective:
    """The declaration of an objective: everything the rest of mixmerge knows of it."""

    name: str
    paper: str
    """Where it was published."""
    rows: type[RowModel]
    """What one line of the rows file is: `Conversation`, `PreferencePair` or another record."""
    encode: Callable[[Encoder, Sequence[Any], Progress], Encoded]
    """``encode(encoder, rows, progress)`` returns the columns that the trainer reads."""
    build: Callable[[dict[str, Any], Any], tuple[Any, type[Any]]]
    """``build(common, settings)`` returns TRL's configuration and a trainer class that reads the
    encoded columns as they are. ``common`` holds what is the same for every trainer, ``settings``
    this objective's own; rewards and whatever else the trainer needs are bound to the class."""
    settings: type[Settings] = Settings
    """Its own keys of a training recipe, beside those of `TrainSpec`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of common settings where this objective needs others."""
    reference: tuple[str, ...] = ()
    """Columns of log-probabilities under the starting model, which the trainer adds to the rows in
    ``_precompute_ref_logps`` and which are kept for later runs. Empty: it has no reference."""
    check_start: Callable[[float, str], None] | None = None
    """``check_start(loss, precision)`` raises where the loss of the first step proves a fault."""
    relative_cost: float = 1.0
    """Time of one row, where a row of supervised fine-tuning takes 1: for estimates only."""
    label: str = ""
    """What plans, cards and reports call it; by default the name in capitals."""
    stage: str = ""
    """The stage of a model trained by it; by default the name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name.upper())
        object.__setattr__(self, "stage", self.stage or self.name)

    @property
    def keys(self) -> list[str]:
        """Its own keys of a training recipe; one that can only be null is none."""
        fields = self.settings.model_fields.items()
        return [name for name, declared in fields if declared.annotation is not NoneType]
