"""What an engine is: something that runs ``mixmerge step FOLDER`` somewhere."""

from pathlib import Path
from typing import Any, Protocol

from mixmerge.execute.step import Needs


class Engine(Protocol):
    """Starts steps, says whether they ended, and stops them."""

    def room_for(self, needs: Needs) -> bool:
        """Say whether a step with these needs could be started now."""

    def start(self, folder: Path, needs: Needs) -> Any:
        """Start the step in a folder and return a handle for it."""

    def poll(self, handle: Any) -> int | None:
        """Return the exit code of a step that ended, or None while it runs."""

    def stop(self, handle: Any) -> None:
        """End a step and everything it started; return when it is gone."""

    def close(self) -> None:
        """Release what the engine holds."""
