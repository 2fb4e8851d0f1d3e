"""Helpers on a Ray cluster: each is a task of one core, placed where there is room."""

import subprocess
from collections.abc import Sequence
from typing import Any

import ray

from mixmerge.execution.child import child_command, wait_for
from mixmerge.execution.ray_engine import connect


class RayHelpers:
    """Helpers on the cluster at ``RAY_ADDRESS``, which is joined when they are asked for.

    Args:
        cpus: Cores of the cluster that is started on this machine where there is no address.
    """

    def __init__(self, cpus: int = 1) -> None:
        self._cpus = cpus
        self._tasks: list[Any] = []

    def start(self, command: Sequence[str], count: int) -> None:
        """Ask Ray for ``count`` tasks."""
        connect(self._cpus)
        help_out = ray.remote(max_retries=0, num_cpus=1)(run_helper)
        self._tasks = [help_out.remote([*command, str(number)]) for number in range(count)]

    def ended(self, number: int) -> bool:
        """Say whether a task has ended: with its work done, with an error, or lost."""
        ready, _ = ray.wait([self._tasks[number]], timeout=0)
        return bool(ready)

    def stop(self) -> None:
        """Cancel what has not ended, and leave the cluster."""
        for task in self._tasks:
            ray.cancel(task)
        ray.wait(self._tasks, num_returns=len(self._tasks), timeout=10)
        ray.shutdown()


def run_helper(command: Sequence[str]) -> int:
    """Run a helper in a child process, which ends with the worker that runs this task."""
    return wait_for(subprocess.Popen(child_command(command), stdin=subprocess.DEVNULL))
