"""Processes elsewhere that take part in one piece of work, wherever an engine offers some."""

import os
from collections.abc import Sequence
from typing import Protocol

from mixmerge.errors import ResourceError

HELPERS = "MIXMERGE_HELPERS"
"""Environment variable of a step: the engine on which its helpers may run."""


class Helpers(Protocol):
    """Starts copies of one command; work goes on whether any of them finds room or none."""

    def start(self, command: Sequence[str], count: int) -> None:
        """Ask for processes.

        Args:
            command: A module and its first arguments; the number of the copy comes last.
            count: How many; they are numbered from 0.
        """

    def ended(self, number: int) -> bool:
        """Say whether one of them has ended, however it did."""

    def stop(self) -> None:
        """End all, and call off those for which there was no room."""


def helpers_here() -> Helpers | None:
    """Return the helpers that the engine of this step offers, or None."""
    return helpers_on(os.environ.get(HELPERS, "local"))


def helpers_on(engine: str) -> Helpers | None:
    """Return the helpers of an engine by its name, or None where it has none.

    Raises:
        ResourceError: the engine's package is not installed.
    """
    if engine != "ray":
        return None
    try:
        from mixmerge.execution.ray_helpers import RayHelpers

        return RayHelpers(os.cpu_count() or 1)
    except ModuleNotFoundError as error:
        raise missing_extra("ray", error) from error


def missing_extra(engine: str, error: ModuleNotFoundError) -> ResourceError:
    """Say which package an engine lacks, and how to install it."""
    return ResourceError(
        f"--engine {engine}: the package `{error.name}` is not installed; "
        f"run `pip install 'mixmerge[{engine}]'`."
    )
