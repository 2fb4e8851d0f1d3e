"""What happens in a run, as it is told to the screen, the status file, the journal, a tracker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixmerge.execution.step import Step

End = Literal["done", "failed", "interrupted", "broken"]
"""How a run ended: all done, some steps failed, Ctrl-C, or an error of the driver itself."""


@dataclass(frozen=True)
class Reused:
    """A step was done before."""

    step: Step
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Started:
    """A step runs now."""

    step: Step
    folder: Path


@dataclass(frozen=True)
class Progressed:
    """A running step has come so far."""

    step: Step
    done: float
    total: float
    what: str


@dataclass(frozen=True)
class Finished:
    """A step is done."""

    step: Step
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Retried:
    """A step was lost to a passing fault and will be started again."""

    step: Step
    message: str


@dataclass(frozen=True)
class Failed:
    """A step failed."""

    step: Step
    folder: Path
    message: str


@dataclass(frozen=True)
class Blocked:
    """A step cannot run because the step ``by`` failed."""

    step: Step
    by: str


@dataclass(frozen=True)
class Stopping:
    """Nothing is started any more; ``running`` steps still run."""

    running: int


@dataclass(frozen=True)
class Ended:
    """The run is over."""

    end: End


Event = Reused | Started | Progressed | Finished | Retried | Failed | Blocked | Stopping | Ended

Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
