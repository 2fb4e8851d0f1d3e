"""Logs that exist already: ``{log: {lm_eval: FOLDER}}``, one key for each format that is read."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, create_model, model_validator

from mixmerge.evaluation.sources.source import ScoredAxis, SourceSpec
from mixmerge.logs import FORMATS
from mixmerge.spec_model import quoted


class LogBase(SourceSpec):
    """A file or a folder of logs, in the format that its key names."""

    task: str | None = None
    """The task, if the logs have several."""
    models: dict[str, str] = Field(default_factory=dict)
    """What the logs call a checkpoint, where that is not its name: ``{mixed: org/mixed-7b}``."""

    @property
    def format(self) -> str:
        """The format of the log."""
        return next(name for name in FORMATS if getattr(self, name, None) is not None)

    @property
    def place(self) -> Path:
        """The file or folder."""
        found: Path = getattr(self, self.format)
        return found

    @property
    def task_name(self) -> str | None:
        """The only task to read of a log, if it may have others."""
        return self.task

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        given = [name for name in FORMATS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give the logs' folder under one of {quoted(FORMATS)} "
                f"(seen: {quoted(given) or 'none'})"
            )
        return self


if TYPE_CHECKING:
    LogSpec = LogBase
else:
    _PLACES = {
        name: (Path | None, Field(None, description=f"A file or folder of logs: {name}."))
        for name in FORMATS
    }
    LogSpec = create_model("LogSpec", __base__=LogBase, **_PLACES)
    """The specification with one key for each format."""


class LogAxis(ScoredAxis):
    """An axis whose scores are in logs that exist already."""

    key: ClassVar[str] = "log"

    log: LogSpec
    """The logs."""


AXIS = LogAxis
