"""A step as a child process of a cluster job, which always ends with the job.

``python -m mixmerge.execution.child MODULE ARGUMENT…`` runs a module that dies with its parent.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixmerge.execution.environment import ONE_THREAD, RANK_OF_OURS
from mixmerge.execution.store import LOG

STEP_COMMAND = ("mixmerge", "step")
"""Module and arguments before the folder."""

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.05


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl took effect
        os.kill(os.getpid(), signal.SIGKILL)


def child_command(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a module as such a child."""
    return [sys.executable, "-m", __name__, *command]


def run_child(
    command: Sequence[str],
    folder: str,
    environment: Mapping[str, str] | None = None,
    *,
    rank: bool = False,
) -> int:
    """Run a module, for example `STEP_COMMAND`, on a step's folder in a child process.

    Its output goes to the step's log; that of ranks after the first stays with the job.
    ``environment`` is added to this process's; ``rank`` says that the engine started this process
    as one of several.

    Returns:
        The exit code; negative: killed by that signal.
    """
    # One thread per library by default: steps that use several cores set the number themselves.
    all_of_it = {**ONE_THREAD, **os.environ, **(environment or {})}
    if rank:
        all_of_it[RANK_OF_OURS] = "1"
    first = not rank or all_of_it["RANK"] == "0"
    with Path(folder, LOG).open("ab") if first else open(os.devnull, "rb") as log:  # noqa: PTH123
        output = log if first else None
        child = subprocess.Popen(
            child_command([*command, folder]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=all_of_it,
        )
        return wait_for(child)


def wait_for(child: "subprocess.Popen[bytes]") -> int:
    """Wait for a process and return its exit code; end it if this process is told to stop."""
    try:
        # Poll instead of waiting: Ray can only cancel a task between two Python instructions.
        while child.poll() is None:
            time.sleep(_LOOK_EVERY_SECONDS)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    return child.returncode


if __name__ == "__main__":
    die_with_parent()
    # SLURM signals the time limit to all processes of a job; submitit's, our parent, handles it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
