"""What happens in a run, as reported to the screen, the status file, the journal and a tracker."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mixmerge.execution.step import Step

End = Literal["done", "failed", "interrupted", "broken"]
"""How a run ended: all done, some steps failed, Ctrl-C, or an error of the driver itself."""


class Warned(NamedTuple):
    """Something may go wrong: said before the first step starts."""

    message: str


class Begun(NamedTuple):
    """The run has begun; these are its steps."""

    steps: Sequence[Step]


class Reused(NamedTuple):
    """A step was done before."""

    step: Step
    record: Mapping[str, Any]


class Started(NamedTuple):
    """A step runs now."""

    step: Step
    folder: Path


class Progressed(NamedTuple):
    """A running step has come so far."""

    step: Step
    done: float
    total: float
    what: str


class Finished(NamedTuple):
    """A step is done."""

    step: Step
    record: Mapping[str, Any]


class Retried(NamedTuple):
    """A step was lost to a passing fault and will be started again."""

    step: Step
    message: str


class Failed(NamedTuple):
    """A step failed."""

    step: Step
    folder: Path
    message: str


class Blocked(NamedTuple):
    """A step cannot run because the step ``by`` failed."""

    step: Step
    by: str


class Stopping(NamedTuple):
    """Nothing is started any more; ``running`` steps still run."""

    running: int


class Ended(NamedTuple):
    """The run is over."""

    end: End


Event = (
    Warned
    | Begun
    | Reused
    | Started
    | Progressed
    | Finished
    | Retried
    | Failed
    | Blocked
    | Stopping
    | Ended
)

Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
