"""Who hears of a run: the screen, the status file, the journal, a tracker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from mixmerge.execution.step import Step

End = Literal["done", "failed", "interrupted", "broken"]
"""How a run ended: all done, some steps failed, Ctrl-C, or an error of the driver itself."""


class Listener(Protocol):
    """Hears what happens to the steps of a run."""

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Hear that a step was done before."""

    def started(self, step: Step, folder: Path) -> None:
        """Hear that a step runs now."""

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Hear how far a running step is."""

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Hear that a step is done."""

    def retried(self, step: Step, folder: Path, message: str) -> None:
        """Hear that a step was lost to a passing fault and will be started again."""

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Hear that a step failed."""

    def blocked(self, step: Step, by: str) -> None:
        """Hear that a step cannot run because the step ``by`` failed."""

    def stopping(self, running: int) -> None:
        """Hear that nothing is started any more; so many steps are still running."""

    def ended(self, end: End) -> None:
        """Hear that the run is over."""


class Unheard:
    """A listener that hears nothing; a base for those that hear little."""

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Ignore it."""

    def started(self, step: Step, folder: Path) -> None:
        """Ignore it."""

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Ignore it."""

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Ignore it."""

    def retried(self, step: Step, folder: Path, message: str) -> None:
        """Ignore it."""

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Ignore it."""

    def blocked(self, step: Step, by: str) -> None:
        """Ignore it."""

    def stopping(self, running: int) -> None:
        """Ignore it."""

    def ended(self, end: End) -> None:
        """Ignore it."""


class Everyone:
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.reused(step, record)

    def started(self, step: Step, folder: Path) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.started(step, folder)

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.progressed(step, done, total, what)

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.finished(step, record)

    def retried(self, step: Step, folder: Path, message: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.retried(step, folder, message)

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.failed(step, folder, message)

    def blocked(self, step: Step, by: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.blocked(step, by)

    def stopping(self, running: int) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.stopping(running)

    def ended(self, end: End) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.ended(end)
