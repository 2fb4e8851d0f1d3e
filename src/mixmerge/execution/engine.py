"""What an engine is: something that runs ``mixmerge step FOLDER`` somewhere."""

from pathlib import Path
from typing import Any, Protocol

from mixmerge.execution.step import Needs

LOST = 75
"""Exit code of a step that was lost with its worker or its time: worth another attempt, which goes
on from the last checkpoint. The number is ``EX_TEMPFAIL`` of sysexits.h."""


class Engine(Protocol):
    """Starts steps, says whether they ended, and stops them."""

    def room_for(self, needs: Needs) -> bool:
        """Say whether a step with these needs could be started now."""

    def start(self, folder: Path, needs: Needs) -> Any:
        """Start the step in a folder and return a handle for it.

        Where steps outlive their driver, a step that runs already is found again.
        """

    def poll(self, handle: Any) -> int | None:
        """Return the exit code of a step that ended, or None while it runs.

        Negative: killed by that signal. `LOST`: its worker is gone, or its time was over.
        """

    def stop(self, handle: Any) -> None:
        """End a step and everything it started; return when it is gone."""

    def close(self) -> None:
        """Release what the engine holds."""
