"""What an engine is: something that runs ``mixmerge step FOLDER`` somewhere.

An engine is one file of `mixmerge.execution.engines`: a class like `Engine`, and an `EngineSpec`
that makes one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mixmerge.execution.step import Needs
from mixmerge.spec_model import SpecModel

LOST = 75
"""Exit code of a step that was lost with its worker or its time: worth another attempt, which goes
on from the last checkpoint. The number is ``EX_TEMPFAIL`` of sysexits.h."""

HELPERS = "MIXMERGE_HELPERS"
"""Environment variable of a step: the engine on which its helpers may run."""


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


class Helpers(Protocol):
    """Processes elsewhere that take part in one piece of work, whether there is room or not."""

    def start(self, command: Sequence[str], count: int) -> None:
        """Ask for ``count`` processes of a module; their number, from 0, is the last argument."""

    def ended(self, number: int) -> bool:
        """Say whether one of them has ended, however it did."""

    def stop(self) -> None:
        """End all, and call off those for which there was no room."""


class EngineSpec(SpecModel):
    """Settings of an engine: its section of a study's ``placement``, if it has any fields.

    The file of a specification must be light: the engine's package is imported when it is built.
    """

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> Engine:
        """Return the engine, ready to start steps, with so many cores of this machine.

        ``entry``, for an engine that does not start ``mixmerge step``, is ``module:attribute`` of
        the mapping from kinds to handlers; ``preload`` names modules to load before the first step.

        Raises:
            ModuleNotFoundError: the engine's package is not installed.
            ResourceError: there is no cluster.
        """
        raise NotImplementedError

    def helpers(self) -> Helpers | None:
        """Return processes that may take part in a step, or None where there are none."""
        return None
