"""The interface of engines, which run ``mixmerge step FOLDER`` somewhere.

An engine is one file in `mixmerge.execution.engines`: a class like `Engine`, and an `EngineSpec`
that creates it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mixmerge.execution.step import Needs
from mixmerge.spec_model import SpecModel

LOST = 75
"""Exit code of a step that lost its worker or ran out of time; another attempt continues from the
last checkpoint. The number is ``EX_TEMPFAIL`` of sysexits.h."""

HELPERS = "MIXMERGE_HELPERS"
"""Environment variable of a step: the engine for its helpers."""


class Engine(Protocol):
    """Starts, polls and stops steps."""

    def room_for(self, needs: Needs) -> int:
        """Return how many processes with these needs could start now.

        A group of steps is spread over so many; an engine that queues them returns 1.
        """

    def start(self, folder: Path, needs: Needs) -> Any:
        """Start the step in a folder and return a handle for it.

        If steps outlive their driver, one that is already running is found again.
        """

    def poll(self, handle: Any) -> int | None:
        """Return the exit code of a step that ended, or None while it runs.

        Negative: killed by that signal. `LOST`: its worker is gone, or its time limit was reached.
        """

    def stop(self, handle: Any) -> None:
        """End a step and everything it started; return when it is gone."""

    def close(self) -> None:
        """Release the engine's resources."""


class Helpers(Protocol):
    """Optional processes elsewhere that take part in one piece of work."""

    def start(self, command: Sequence[str], count: int) -> None:
        """Request ``count`` processes of a module; their number, from 0, is the last argument."""

    def ended(self, number: int) -> bool:
        """Whether a helper has ended, for any reason."""

    def stop(self) -> None:
        """End all helpers, including those that have not started."""


class EngineSpec(SpecModel):
    """Settings of an engine: its section of a study's ``placement``, if it has any fields.

    The file of a specification must be light: the engine's package is imported when it is built.
    """

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> Engine:
        """Return the engine, using at most ``cpus`` cores of this machine.

        ``entry``, for engines that do not start ``mixmerge step``, is the ``module:attribute`` of
        the mapping from kinds to handlers; ``preload`` names modules to load before the first step.

        Raises:
            ModuleNotFoundError: the engine's package is not installed.
            ResourceError: there is no cluster.
        """
        raise NotImplementedError

    def helpers(self) -> Helpers | None:
        """Return helpers for a step, or None if the engine has none."""
        return None
