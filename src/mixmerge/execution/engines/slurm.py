"""The SLURM engine: every step is a job, submitted and watched through submitit.

Jobs outlive the driver: their ids are in the steps' folders, where the next driver finds them. The
run folder must be on storage that all nodes share.
"""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mixmerge.errors import ResourceError
from mixmerge.execution.child import STEP_COMMAND, run_child
from mixmerge.execution.engine import LOST, EngineSpec
from mixmerge.execution.engines import slurm_queue
from mixmerge.execution.environment import GPUS
from mixmerge.execution.step import Needs
from mixmerge.execution.store import FAILURE, JOB
from mixmerge.files import read_object, write_json

if TYPE_CHECKING:
    import submitit

_LOOK_EVERY_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
_CANCEL_EVERY_SECONDS = 5.0
_SIGNALS_SECONDS = 1.0
"""Between the end of a step's process and its report: SLURM ends a job process by process."""
_RESULT_SECONDS = 10.0
"""How long a job must have ended to count as ended without a result: a shared file system may show
the result later, and a job being requeued may look ended."""

log = logging.getLogger(__name__)


class SlurmSpec(EngineSpec):
    """What the SLURM engine asks of the cluster besides each step's cores and devices."""

    partition: str | None = None
    """Default: the cluster's."""
    account: str | None = None
    """Account to charge."""
    minutes: int = Field(default=24 * 60, ge=1)
    """Time limit of one job. A training that needs more is requeued and continues."""
    requeues: int = Field(default=10, ge=0)
    """How often a job that ran out of time is requeued."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of each node. Default: the cluster's."""
    gpus: int | None = Field(default=None, ge=0)
    """Most GPUs to request per node; 0 if the cluster has none."""
    at_once: int = Field(default=256, ge=1)
    """Most jobs of an array that run at the same time."""
    setup: tuple[str, ...] = ()
    """Shell commands before each step, for example ``module load cuda``."""
    sbatch: dict[str, str | int | bool] = Field(default={})
    """Other options of ``sbatch``, for example ``{constraint: a100}``."""
    cluster: Literal["slurm", "local"] = "slurm"
    """``local`` runs jobs as processes on this machine, to test without SLURM."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that writes job scripts."""
        return ("submitit",)

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> "SlurmEngine":  # noqa: ARG002
        """Return an engine whose jobs run ``mixmerge step``."""
        return SlurmEngine(self)

    def gpus_given(self, needs: Needs) -> int:
        """Return how many devices a step is given on all its nodes; ``local`` knows of none."""
        return 0 if self.cluster == "local" else self._gpus_per_node(needs) * needs.nodes

    def parameters(self, needs: Needs) -> dict[str, Any]:
        """Return the parameters of submitit's executor for a step.

        On one node: one task with all cores and devices, in which a training starts torchrun. On
        several nodes: one task per process, without torchrun.
        """
        gpus = self._gpus_per_node(needs)
        per_node = needs.processes if needs.nodes > 1 else 1
        asked: dict[str, Any] = {"timeout_min": self.minutes, "name": "mixmerge"}
        if self.cluster == "local":
            # One machine stands for all nodes.
            return asked | {"tasks_per_node": per_node * needs.nodes, "gpus_per_node": gpus}
        asked |= {
            "nodes": needs.nodes,
            "tasks_per_node": per_node,
            "cpus_per_task": max(1, needs.cpus // per_node),
            "mem_gb": self.memory_gb,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "gpus_per_node": gpus or None,
            "slurm_setup": list(self.setup) or None,
            # On many clusters it is the default; without it a job could not be queued again.
            "slurm_additional_parameters": {"requeue": True, **self.sbatch},
            "slurm_array_parallelism": self.at_once,
            "slurm_srun_args": ["--kill-on-bad-exit=1"],
        }
        return {name: value for name, value in asked.items() if value is not None}

    def _gpus_per_node(self, needs: Needs) -> int:
        return needs.gpus if self.gpus is None else min(needs.gpus, self.gpus)


@dataclass(frozen=True)
class StepCommand:
    """The command of a job: one step, in a child process."""

    command: tuple[str, ...]
    folder: str
    distributed: bool = False
    """Whether this is one of several ranks that the job has started."""
    gpus: int = 0
    """Devices of the job, on all its nodes together."""

    def __call__(self) -> int:
        """Run the step and return its exit code; leave no result if the job itself is being ended.

        SLURM signals all processes of a job that it ends (preempted, cancelled, node down). If it
        then requeues the job, a result of the first run would be taken for the second's.
        """
        told: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
        if self.distributed:
            import submitit

            ranks = submitit.helpers.TorchDistributedEnvironment()
            ranks.export(set_cuda_visible_devices=False)
        code = run_child(self.command, self.folder, {GPUS: str(self.gpus)}, rank=self.distributed)
        if code < 0:
            time.sleep(_SIGNALS_SECONDS)
        # The other ranks wait for this one, so its failure must end the job.
        if told and code:
            slurm_queue.queue_again_in_grace()
        if (told and code) or (self.distributed and (code < 0 or code == LOST)):
            os._exit(LOST)
        if self.distributed and code:
            raise RuntimeError(f"the step ended with exit code {code}")
        return code

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Return what to run after a timeout: the same step, which finds its last checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass(eq=False)
class _Queued:
    """A step that was started: submitted, or about to be."""

    folder: Path
    needs: Needs
    job: Any = None
    sent: float = 0.0
    """When the job was submitted or found again; all times are monotonic."""
    looked: float = 0.0
    ended: float | None = None
    """Since when the job looks ended without a result."""
    refused: int | None = None
    """Exit code of a step that the queue did not take."""


class SlurmEngine:
    """Runs steps as SLURM jobs; equal steps that become ready together are one array.

    Raises:
        ResourceError: SLURM's commands are not installed here.
    """

    def __init__(self, spec: SlurmSpec, command: Sequence[str] = STEP_COMMAND) -> None:
        import submitit

        if spec.cluster == "slurm" and shutil.which("srun") is None:
            raise ResourceError(
                "--engine slurm: there is no `srun` here. Start this command on a login node, or "
                "set `placement: {slurm: {cluster: local}}` to run the jobs on this machine."
            )
        self._spec = spec
        self._command = tuple(command)
        self._unsent: list[_Queued] = []
        self._open: list[_Queued] = []
        self._queue = slurm_queue.Queue()
        self._submitit = submitit

    def room_for(self, needs: Needs) -> int:  # noqa: ARG002 - the interface's
        """Return 1, since SLURM queues; run locally, one job per core."""
        return int(self._spec.cluster == "slurm" or len(self._open) < (os.cpu_count() or 1))

    def start(self, folder: Path, needs: Needs) -> _Queued:
        """Find the step's job from an earlier driver, or keep the step for the next submission."""
        queued = _Queued(folder.absolute(), needs, sent=time.monotonic())
        self._open.append(queued)
        queued.job = self._found_again(queued.folder)
        if queued.job is None:
            self._unsent.append(queued)
        return queued

    def poll(self, handle: _Queued) -> int | None:
        """Return the exit code of a step whose job ended, or None."""
        self._send()
        if handle.refused is not None:
            self._open.remove(handle)
            return handle.refused
        now = time.monotonic()
        if handle.job is None or now - handle.looked < _LOOK_EVERY_SECONDS:
            return None
        handle.looked = now
        if not self._over(handle):
            return None
        (handle.folder / JOB).unlink(missing_ok=True)
        code = self._exit_code(handle)
        if code == LOST and self._ended_by_slurm(handle):
            log.warning(
                "%s: SLURM ended job %s; it is sent again.", handle.folder, handle.job.job_id
            )
            handle.job = handle.ended = None
            self._unsent.append(handle)
            return None
        self._open.remove(handle)
        return code

    def stop(self, handle: _Queued) -> None:
        """Cancel the step's job, even if SLURM has requeued it; wait until it is gone."""
        self._open.remove(handle)
        if handle in self._unsent:
            self._unsent.remove(handle)
        if handle.job is None:
            return
        deadline, again = time.monotonic() + _PATIENCE_SECONDS, 0.0
        while not self._ended(handle.job, now=True):
            if time.monotonic() > deadline:
                log.warning(
                    "%s: job %s could not be cancelled; the next run finds it, or cancel it "
                    "yourself: scancel %s", handle.folder, handle.job.job_id, handle.job.job_id
                )  # fmt: skip
                return
            if time.monotonic() >= again:
                self._cancel(handle.job)
                again = time.monotonic() + _CANCEL_EVERY_SECONDS
            time.sleep(0.1 if self._spec.cluster == "local" else _LOOK_EVERY_SECONDS)
        (handle.folder / JOB).unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: queued jobs are found again, or were stopped one by one."""

    def _cancel(self, job: Any) -> None:
        if self._spec.cluster == "slurm":
            job.cancel(check=False)
        else:
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGINT)

    def _send(self) -> None:
        """Submit the steps started since the last time, those with equal needs as one array."""
        from submitit.core.utils import FailedJobError

        if not (self._unsent and self._queue.answers()):
            return
        groups: dict[Needs, list[_Queued]] = {}
        for queued in self._unsent:
            groups.setdefault(replace(queued.needs, memory_gb=0, seconds=0), []).append(queued)
        for needs, members in groups.items():
            try:
                self._submit(needs, members)
            except (FailedJobError, subprocess.CalledProcessError) as error:
                if slurm_queue.is_away(str(error)):
                    self._queue.missed(str(error))
                    return
                for queued in members:
                    queued.refused = _write_refusal(queued.folder, error)
            self._unsent = [queued for queued in self._unsent if queued not in members]

    def _submit(self, needs: Needs, members: Sequence[_Queued]) -> None:
        executor = self._executor(members[0].folder, needs)
        several, gpus = needs.nodes > 1, self._spec.gpus_given(needs)
        with executor.batch():
            jobs = [
                executor.submit(StepCommand(self._command, str(queued.folder), several, gpus))
                for queued in members
            ]
        for queued, job in zip(members, jobs, strict=True):
            queued.job, queued.sent = job, time.monotonic()
            tasks = list(range(job.num_tasks))
            write_json(queued.folder / JOB, {"job": job.job_id, "tasks": tasks})

    def _executor(self, folder: Path, needs: Needs) -> Any:
        spec = self._spec
        executor = self._submitit.AutoExecutor(
            folder=_jobs(folder), cluster=spec.cluster, slurm_max_num_timeout=spec.requeues
        )
        executor.update_parameters(**spec.parameters(needs))
        return executor

    def _found_again(self, folder: Path) -> Any:
        """Return the job that an earlier driver submitted for this step, unless it has ended."""
        noted = read_object(folder / JOB)
        if not noted.keys() >= {"job", "tasks"}:  # or another engine's; the lock keeps them apart
            return None
        kinds = {"slurm": self._submitit.SlurmJob, "local": self._submitit.LocalJob}
        job = kinds[self._spec.cluster](_jobs(folder), noted["job"], noted["tasks"])
        return None if _answered(job) or self._ended(job) else job

    def _over(self, handle: _Queued) -> bool:
        """Whether a job has left its results, or ended for good without."""
        if self._spec.cluster == "local":
            return self._ended(handle.job)
        if _answered(handle.job):
            return True
        if not self._ended(handle.job):
            handle.ended = None
            return False
        now = time.monotonic()
        handle.ended = handle.ended or now
        return now - handle.ended >= _RESULT_SECONDS

    def _ended_by_slurm(self, handle: _Queued) -> bool:
        """Whether a job was lost through no fault of its own; resubmitting is no new attempt."""
        if self._spec.cluster == "local":
            return False
        # While the controller is away, jobs can neither start steps nor requeue themselves.
        away = self._queue.last_missed > handle.sent
        return away or self._queue.state(handle.job.job_id) in slurm_queue.TAKEN

    def _ended(self, job: Any, *, now: bool = False) -> bool:
        """Whether a job will not run any more, as far as is known."""
        if self._spec.cluster == "local":
            gone = job.get_info()["jobState"].startswith("NO PROCESS")
            return not _alive(int(job.job_id)) if gone else bool(job.done())
        if now:
            self._queue.ask()
        return self._queue.state(job.job_id) in slurm_queue.ENDED

    def _exit_code(self, handle: _Queued) -> int:
        tasks = _tasks(handle.job)
        ended = [task for task in tasks if task.paths.result_pickle.exists()]
        for task in ended:
            outcome, value = task._get_outcome_and_result()
            if outcome == "error":
                return self._explained(handle.folder, str(value))
            if value:
                return int(value)
        return 0 if len(ended) == len(tasks) else LOST

    def _explained(self, folder: Path, trace: str) -> int:
        if "timed-out" in trace and not (folder / FAILURE).exists():
            message = (
                f"{folder}: the job ran out of time {self._spec.requeues + 1} times; raise "
                "`minutes` or `requeues` under `placement: slurm`. The same command continues from "
                "the last checkpoint."
            )
            write_json(folder / FAILURE, {"code": 2, "message": message})
        return LOST if "'scontrol', 'requeue'" in trace else 1


def _write_refusal(folder: Path, error: Exception) -> int:
    """Store why ``sbatch`` refused a step; return the exit code."""
    message = (
        f"SLURM refused the job: {error}. Check `placement: slurm` (partition, account, minutes, "
        "gpus)."
    )
    write_json(folder / FAILURE, {"code": 2, "message": message})
    return 2


def _tasks(job: Any) -> list[Any]:
    return [job.task(index) for index in range(job.num_tasks)]


def _answered(job: Any) -> bool:
    """Whether every task of a job has left its result."""
    with suppress(OSError):
        job.paths.folder.chmod(job.paths.folder.stat().st_mode)  # makes NFS look again
    return all(task.paths.result_pickle.exists() for task in _tasks(job))


def _jobs(folder: Path) -> Path:
    return folder.parent.parent / "cache" / "slurm" / "%j"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
