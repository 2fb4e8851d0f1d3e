"""What SLURM says of jobs: in which state each is, or nothing while the controller is away.

The controller is asked (``squeue``) and not the accounting (``sacct``): many clusters have none,
and of a job that SLURM has queued again it may still tell how its last run ended.
"""

import logging
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

GONE = "GONE"
"""State of a job that the controller no longer remembers."""
ENDED = frozenset({
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", GONE, "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
})  # fmt: skip
"""States of jobs that will not run again. In all others, of which SLURM has many, a job lives: one
that was preempted and is to run again is PENDING, or SUSPENDED."""
TAKEN = frozenset({"BOOT_FAIL", "NODE_FAIL", "PREEMPTED"})
"""States of jobs that ended through no fault of theirs, where SLURM may not queue them again."""

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
    """Say whether a SLURM command failed because it did not reach the controller."""
    return any(text in said for text in _AWAY)


class Queue:
    """The states of this user's jobs, asked for all at once and not too often."""

    def __init__(self) -> None:
        self._states: dict[str, str] | None = None
        self._known: set[str] = set()
        """Jobs that were there when the controller was last asked."""
        self._next = 0.0
        self._pause = 0.0
        """Seconds between the last two questions that had no answer; 0 while there are answers."""
        self.last_missed = 0.0
        """When a question last had no answer; of the monotonic clock."""

    def answers(self) -> bool:
        """Say whether the controller answered the last time; if not, ask again after a pause."""
        if self._pause and time.monotonic() >= self._next:
            self.ask()
        return not self._pause

    def state(self, job: str) -> str | None:
        """Return the state of a job as SLURM spells it; None while it is not known."""
        new = job not in self._known and not self._pause
        if new or time.monotonic() >= self._next:
            self.ask()
        self._known.add(job)
        return None if self._states is None else self._states.get(job, GONE)

    def ask(self) -> None:
        """Ask the controller now."""
        asked = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
        try:
            said = _run([*asked, "--format=%i|%T"])
        except subprocess.TimeoutExpired:
            self.missed(f"no answer in {_ANSWER_SECONDS:.0f} seconds")
            return
        if said.returncode:
            self.missed(said.stderr.strip())
            return
        if self._pause:
            log.warning("SLURM answers again.")
        lines = (line.partition("|") for line in said.stdout.splitlines())
        self._states = {job.strip(): state.strip() for job, _, state in lines}
        self._pause, self._next = 0.0, time.monotonic() + _ASK_EVERY_SECONDS

    def missed(self, why: str) -> None:
        """Note that the controller did not answer: nothing is known, and nothing is decided."""
        if not self._pause:
            log.warning("SLURM does not answer (%s); waiting until it does.", why)
        self._states = None
        self._pause = min(2 * self._pause or _ASK_EVERY_SECONDS, _LONGEST_PAUSE_SECONDS)
        self.last_missed = time.monotonic()
        self._next = self.last_missed + self._pause


def queue_again_in_grace() -> None:
    """Queue this process's job again, if it was told to end but still counts as running.

    A partition may give jobs a time of grace before they are preempted. A job that leaves within it
    has failed, for SLURM, and would not be queued again; one that is cancelled counts as ended.
    """
    job = os.environ.get("SLURM_JOB_ID")
    ours = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"  # else whatever started us is the job
    if not job or not ours or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    with suppress(subprocess.TimeoutExpired):
        said = _run(asked)
        if said.returncode == 0 and said.stdout.strip() == "RUNNING":
            _run(["scontrol", "requeue", job])


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # A filter that the user has set for their own looks would hide jobs.
    plain = {name: value for name, value in os.environ.items() if name[:7] != "SQUEUE_"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_ANSWER_SECONDS, env=plain
    )
