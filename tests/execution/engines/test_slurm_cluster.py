"""Tests of mixmerge.execution.engines.slurm on a real queue: a SLURM of one node, started here.

They need SLURM's and MUNGE's programs (Debian: slurm-wlm, munge) and root, else are skipped.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge.durable import read_log
from mixmerge.execution import events
from mixmerge.execution.engine import LOST
from mixmerge.execution.engines.slurm import SlurmEngine, SlurmSpec
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import JOB, JOURNAL, RECORD, Store
from mixmerge.files import read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))),
        reason="needs SLURM, MUNGE and root",
    ),
]

SPEC = SlurmSpec(gpus=0, minutes=10, memory_gb=0.25, partition="low")

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket={here}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=3
MessageTimeout=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 CoresPerSocket=2 RealMemory=2000
PartitionName=low Nodes={host} Default=YES PriorityTier=1
PartitionName=high Nodes={host} PriorityTier=10
"""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def say(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to be true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def end(pid_file: Path) -> None:
    """End a daemon and wait until it is gone."""
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    until(
        lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a SLURM cluster, whose daemons run while the tests of this file do."""
    here = tmp_path_factory.mktemp("slurm")
    here.parent.chmod(0o755)
    for name in ("state", "spool"):
        (here / name).mkdir()
    (here / "munge.key").write_bytes(os.urandom(1024))
    (here / "munge.key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    (here / "slurm.conf").write_text(
        CONF.format(host=host, here=here, ports=[free_port(), free_port()])
    )
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    files = {option: f"munge.{ending}" for option, ending in files.items()} | {
        "key-file": "munge.key"
    }
    say("munged", "--force", *(f"--{option}={here / name}" for option, name in files.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(here / "slurm.conf"))
        say("slurmctld", "-i")
        say("slurmd")
        until(lambda: say("sinfo", "-h", "-p", "low", "-o", "%T") == "idle")
        yield here
        for name in ("slurmd", "slurmctld", "munge"):
            end(here / f"{name}.pid")


@pytest.fixture
def queue(cluster: Path) -> Iterator[Path]:
    """The cluster without jobs, and with its usual settings."""
    yield cluster
    subprocess.run(["scancel", "--user=root"], check=False)
    say("scontrol", "update", "partition=low", "GraceTime=0")
    until(lambda: not say("squeue", "-h"))


def jobs() -> list[str]:
    """Number and state of each job of mixmerge that has not ended."""
    return say("squeue", "-h", "-p", "low", "-o", "%i %T").splitlines()


def step(root: Path, seconds: float, kind: str = "write") -> Path:
    """A step's folder, ready to run."""
    store, one = Store(root / "run"), Step(kind, "a", {"sleep": seconds, "text": "a"})
    return store.place(one, store.key(one, {}), {})


def started(folder: Path, times: int) -> bool:
    """Whether a step has been started so many times."""
    return sum(event["event"] == "started" for event in read_log(folder / JOURNAL)) == times


def preempt(seconds: int) -> None:
    """Let a job of higher rank take both cores for some seconds."""
    wrapped = ["--wrap", f"sleep {seconds}", "-o", "/dev/null", "--mem=100"]
    say("sbatch", "-p", "high", "-c", "2", *wrapped)


def run_again_now(job: str) -> None:
    """Spare the job the two minutes that SLURM lets it wait."""
    until(lambda: any(line == f"{job} PENDING" for line in jobs()))
    say("scontrol", "update", f"jobid={job}", "StartTime=now")


def ended(engine: SlurmEngine, handle: Any, seconds: float = 120) -> int:
    """Wait for a step and return its exit code."""
    deadline = time.monotonic() + seconds
    while (code := engine.poll(handle)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return code


def running(engine: SlurmEngine, folder: Path) -> Any:
    """Start a step and wait until it runs."""
    handle = engine.start(folder, Needs())
    until(lambda: engine.poll(handle) is None and started(folder, 1))
    return handle


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize("grace", [0, 20], ids=["at-once", "with-grace"])
def test_a_preempted_job_is_the_same_attempt(
    tmp_path: Path, toy_step: tuple[str, ...], grace: int
) -> None:
    """SLURM queues a preempted job again: it is waited for, and there is never a second one."""
    say("scontrol", "update", "partition=low", f"GraceTime={grace}")
    folder = step(tmp_path, 15)
    engine = SlurmEngine(SPEC, toy_step)
    handle = running(engine, folder)
    (line,) = jobs()
    job = line.split()[0]
    preempt(5)
    until(lambda: jobs() == [f"{job} PENDING"], seconds=15)
    for _ in range(8):  # longer than a job must look ended to be given up
        assert engine.poll(handle) is None
        assert jobs() == [f"{job} PENDING"]
        time.sleep(1.5)
    run_again_now(job)
    assert ended(engine, handle) == 0
    until(lambda: jobs() == [])
    assert read_json(folder / RECORD)["attempts"] == 2


@pytest.mark.usefixtures("queue")
def test_a_job_whose_node_went_down_is_the_same_attempt(
    tmp_path: Path, toy_step: tuple[str, ...]
) -> None:
    """A node that is taken down gives its job back to the queue; the step ends on its return."""
    node = f"nodename={socket.gethostname().partition('.')[0]}"
    folder = step(tmp_path, 15)
    engine = SlurmEngine(SPEC, toy_step)
    handle = running(engine, folder)
    (line,) = jobs()
    job = line.split()[0]
    say("scontrol", "update", node, "state=down", "reason=test")
    for _ in range(8):
        assert engine.poll(handle) is None
        time.sleep(1.5)
    subprocess.run(["scontrol", "update", node, "state=resume"], check=False)  # if it is not yet
    run_again_now(job)
    assert ended(engine, handle) == 0
    assert read_json(folder / RECORD)["attempts"] == 2


@pytest.mark.usefixtures("queue")
def test_a_job_that_was_queued_again_is_stopped(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """Stopping a step leaves nothing in the queue, also where SLURM has its job a second time."""
    folder = step(tmp_path, 60)
    engine = SlurmEngine(SPEC, toy_step)
    handle = running(engine, folder)
    preempt(3)
    until(lambda: [line.split()[1] for line in jobs()] == ["PENDING"])
    engine.stop(handle)
    assert jobs() == []
    assert not (folder / JOB).exists()


@pytest.mark.usefixtures("queue")
def test_a_cancelled_job_is_lost(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """A job that somebody cancels is worth another attempt, and is not queued again by itself."""
    folder = step(tmp_path, 60)
    engine = SlurmEngine(SPEC, toy_step)
    handle = running(engine, folder)
    say("scancel", jobs()[0].split()[0])
    assert ended(engine, handle) == LOST
    assert jobs() == []


@pytest.mark.usefixtures("queue")
def test_two_jobs_of_one_step_cost_no_attempt(
    tmp_path: Path, toy_step: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that another job is running is waited for, with a single attempt; both end well."""
    monkeypatch.setattr("mixmerge.execution.schedule._HELD_SECONDS", 1.0)
    one = Step("write", "a", {"sleep": 45, "text": "a"})
    store = Store(tmp_path / "run")
    folder = store.place(one, store.key(one, {}), {})
    other = SlurmEngine(SPEC, toy_step)
    running(other, folder)
    (folder / JOB).unlink()  # as if its driver had been killed before it wrote the number
    told: list[events.Event] = []
    outcome = run([one], store, SlurmEngine(SPEC, toy_step), told.append, attempts=1)
    assert outcome.failed == {}
    assert (outcome.done["write/a"] / "out.txt").read_text() == "a"
    assert any(isinstance(event, events.Retried) for event in told)
    assert started(folder, 1)


def test_an_outage_of_the_controller_is_waited_for(
    queue: Path, tmp_path: Path, toy_step: tuple[str, ...]
) -> None:
    """Steps that become ready while slurmctld is away for a minute are sent when it is back."""
    steps = [
        Step("write", "a", {"sleep": 10, "text": "a"}),
        Step("write", "b", {"text": "b"}, {"in": "write/a"}),
        Step("write", "c", {"text": "c"}, {"in": "write/b"}),
    ]

    def outage() -> None:
        until(lambda: any("RUNNING" in line for line in jobs()))
        end(queue / "slurmctld.pid")
        time.sleep(75)
        say("slurmctld")

    away = threading.Thread(target=outage)
    away.start()
    store = Store(tmp_path / "run")
    outcome = run(steps, store, SlurmEngine(SPEC, toy_step), attempts=1)
    away.join()
    assert outcome.failed == {}
    assert (outcome.done["write/c"] / "out.txt").read_text() == "cba"
