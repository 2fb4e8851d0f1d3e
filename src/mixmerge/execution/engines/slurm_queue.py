"""The states of SLURM jobs, and what to do while the controller does not answer.

The controller (``squeue``) is asked, not the accounting database (``sacct``): many clusters have
none, and it may still report the previous end of a requeued job.
"""

import logging
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

GONE = "GONE"
"""State of a job that the controller does not list."""
ENDED = frozenset({
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", GONE, "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
})  # fmt: skip
"""States of jobs that will not run again. In any other state a job is alive: one that was preempted
and will run again is PENDING, or SUSPENDED."""
TAKEN = frozenset({"BOOT_FAIL", "NODE_FAIL", "PREEMPTED"})
"""States of jobs that ended through no fault of their own and may not be requeued."""

_AWAY = (
    "timed out",
    "Unable to contact slurm controller",
    "Connection refused",
    "Connection reset",
    "Transport endpoint is not connected",
    "Zero Bytes were transmitted or received",
    "standby",
    "temporarily unable",
)
_ASK_EVERY_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
_ANSWER_SECONDS = 30.0

log = logging.getLogger(__name__)


def is_away(said: str) -> bool:
    """Whether a SLURM command failed because it could not reach the controller."""
    return any(text in said for text in _AWAY)


class Queue:
    """The states of this user's jobs, queried together and not too often."""

    def __init__(self) -> None:
        self._states: dict[str, str] | None = None
        self._known: set[str] = set()
        """Jobs that were there when the controller was last asked."""
        self._next = 0.0
        self._pause = 0.0
        """Seconds until the next try; 0 while the controller answers."""
        self.last_missed = 0.0
        """When the controller last failed to answer (monotonic)."""

    def answers(self) -> bool:
        """Whether the controller answered last time; if not, ask again after a pause."""
        if self._pause and time.monotonic() >= self._next:
            self.ask()
        return not self._pause

    def state(self, job: str) -> str | None:
        """Return the state of a job as SLURM spells it; None while it is unknown."""
        new = job not in self._known and not self._pause
        if new or time.monotonic() >= self._next:
            self.ask()
        self._known.add(job)
        return None if self._states is None else self._states.get(job, GONE)

    def ask(self) -> None:
        """Ask the controller now."""
        asked = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
        try:
            result = _run([*asked, "--format=%i|%T"])
        except subprocess.TimeoutExpired:
            self.missed(f"no answer in {_ANSWER_SECONDS:.0f} seconds")
            return
        if result.returncode:
            self.missed(result.stderr.strip())
            return
        if self._pause:
            log.warning("SLURM answers again.")
        lines = (line.partition("|") for line in result.stdout.splitlines())
        self._states = {job.strip(): state.strip() for job, _, state in lines}
        self._pause, self._next = 0.0, time.monotonic() + _ASK_EVERY_SECONDS

    def missed(self, why: str) -> None:
        """Record that the controller did not answer; no state is known until it does."""
        if not self._pause:
            log.warning("SLURM does not answer (%s); waiting until it does.", why)
        self._states = None
        self._pause = min(2 * self._pause or _ASK_EVERY_SECONDS, _LONGEST_PAUSE_SECONDS)
        self.last_missed = time.monotonic()
        self._next = self.last_missed + self._pause


def queue_again_in_grace() -> None:
    """Requeue this process's job if it was told to end but still counts as running.

    A partition may give jobs a grace time before preemption. A job that exits within it has failed
    in SLURM's view and would not be requeued; one that is cancelled counts as ended.
    """
    job = os.environ.get("SLURM_JOB_ID")
    ours = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"  # else whatever started us is the job
    if not job or not ours or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    with suppress(subprocess.TimeoutExpired):
        result = _run(asked)
        if result.returncode == 0 and result.stdout.strip() == "RUNNING":
            _run(["scontrol", "requeue", job])


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # The user's own SQUEUE_ filters would hide jobs.
    plain = {name: value for name, value in os.environ.items() if name[:7] != "SQUEUE_"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_ANSWER_SECONDS, env=plain
    )
