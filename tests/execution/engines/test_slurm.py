"""Tests of mixmerge.execution.engines.slurm: real jobs on this machine, and a stand-in queue."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixmerge.execution.engine import LOST
from mixmerge.execution.engines.slurm import SlurmEngine, SlurmSpec
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import JOB, LOG, RECORD, Store
from mixmerge.files import read_json, write_json

HERE = SlurmSpec(cluster="local")

DRIVER = """
import sys, time
from pathlib import Path
from mixmerge.execution.engines.slurm import SlurmEngine
from mixmerge.execution.engines.slurm import SlurmSpec
from mixmerge.execution.step import Needs
engine = SlurmEngine(SlurmSpec(cluster="local"), ("toy_step",))
handle = engine.start(Path(sys.argv[1]), Needs())
engine.poll(handle)
time.sleep(60)
"""

SBATCH = '''#!{python}
"""A stand-in for sbatch: keeps the submitted file, and says the number of the job."""
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
number = 100 + len(list(here.glob("*.sh")))
shutil.copy(sys.argv[1], here / f"{{number}}.sh")
print("Submitted batch job", number)
'''


def placed(root: Path, name: str, sleep: float = 0, **settings: object) -> Path:
    """A step's folder, ready to run."""
    store, step = Store(root / "run"), Step("write", name, {"sleep": sleep, **settings})
    return store.place(step, store.key(step, {}), {})


def ended(engine: SlurmEngine, handle: object, seconds: float = 60) -> int:
    """Wait for a step and return its exit code."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code = engine.poll(handle)  # type: ignore[arg-type]
        if code is not None:
            return code
        time.sleep(0.05)
    raise AssertionError("the step did not end")


def wait_for(path: Path, seconds: float = 60) -> None:
    """Wait until a file exists and holds something."""
    deadline = time.monotonic() + seconds
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_graph_runs_as_jobs(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """Steps that need each other, run as jobs, give what they give on this machine."""
    steps = [
        Step("write", "a", {"text": "a"}),
        Step("write", "b", {"text": "b"}, {"in": "write/a"}),
        Step("user", "c", {}, {"in": "write/a"}),
        Step("write", "d", {"text": "d"}, {"in": "user/c"}),
    ]
    store = Store(tmp_path / "run")
    outcome = run(steps, store, SlurmEngine(HERE, toy_step))
    assert set(outcome.done) == {"write/a", "write/b"}
    assert (outcome.done["write/b"] / "out.txt").read_text() == "ba"
    assert outcome.failed["user/c"] == (2, "rows.jsonl, line 3: broken.")
    assert outcome.blocked == ["write/d"]
    assert not list(tmp_path.glob("run/*/*/" + JOB))


@pytest.mark.slow
def test_a_new_driver_finds_the_job_again(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """After a SIGKILL of the driver the job goes on, and the next driver waits for this one job."""
    folder = placed(tmp_path, "slow", sleep=12)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(folder)])
    wait_for(folder / JOB)
    wait_for(folder / "lock")
    owner = (folder / "lock").read_text()
    driver.kill()
    driver.wait()
    engine = SlurmEngine(HERE, toy_step)
    handle = engine.start(folder, Needs())
    assert engine.poll(handle) is None
    assert (folder / "lock").read_text() == owner
    assert ended(engine, handle) == 0
    assert read_json(folder / RECORD)["attempts"] == 1


@pytest.mark.slow
def test_a_lost_job_is_worth_another_attempt(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """A job that vanishes leaves no result: the step is lost, and its child is gone too."""
    folder = placed(tmp_path, "slow", sleep=60)
    engine = SlurmEngine(HERE, toy_step)
    handle = engine.start(folder, Needs())
    assert engine.poll(handle) is None
    wait_for(folder / "lock")
    child = int(read_json(folder / "lock")["pid"])
    parent = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(handle.job._process.pid, signal.SIGKILL)
    os.kill(parent, signal.SIGKILL)
    assert ended(engine, handle) == LOST
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.slow
def test_a_stopped_job_is_gone(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """Stopping ends the job and forgets its number."""
    folder = placed(tmp_path, "slow", sleep=60)
    engine = SlurmEngine(HERE, toy_step)
    handle = engine.start(folder, Needs())
    engine.poll(handle)
    wait_for(folder / "lock")
    engine.stop(handle)
    assert not (folder / JOB).exists()
    assert not (folder / RECORD).exists()
    assert handle.job._process.poll() is not None


@pytest.mark.slow
def test_a_job_whose_time_is_over_goes_on(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """At its time limit a job is queued again; the step's second attempt ends it."""
    store, step = Store(tmp_path / "run"), Step("second_time", "a")
    folder = store.place(step, store.key(step, {}), {})
    engine = SlurmEngine(SlurmSpec(cluster="local", minutes=1, requeues=1), toy_step)
    assert ended(engine, engine.start(folder, Needs()), seconds=120) == 0
    assert read_json(folder / RECORD)["attempts"] == 2


@pytest.mark.slow
def test_ranks_are_tasks_of_one_job(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """A step of two nodes is two processes that know of each other; the first writes the record."""
    store, step = Store(tmp_path / "run"), Step("ranks", "both")
    folder = store.place(step, store.key(step, {}), {})
    engine = SlurmEngine(HERE, toy_step)
    handle = engine.start(folder, Needs(nodes=2))
    assert ended(engine, handle) == 0
    assert (folder / "rank-0.txt").read_text() == (folder / "rank-1.txt").read_text() == "0 1"
    assert (folder / RECORD).is_file()


def test_this_machine_takes_a_job_for_each_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where jobs are processes of this machine, no more start than it has cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    engine = SlurmEngine(HERE)
    seen = []
    for name in "abc":
        seen.append(engine.room_for(Needs()))
        handle = engine.start(placed(tmp_path, name), Needs())
    engine.stop(handle)
    engine.stop(engine.start(placed(tmp_path, "d"), Needs()))
    assert seen == [True, True, False]
    assert not engine.room_for(Needs())


@pytest.mark.slow
def test_a_lost_rank_ends_as_lost(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """When the process of a rank is killed, the step of all ranks is worth another attempt."""
    store, step = Store(tmp_path / "run"), Step("vanish", "both")
    folder = store.place(step, store.key(step, {}), {})
    engine = SlurmEngine(HERE, toy_step)
    assert ended(engine, engine.start(folder, Needs(nodes=2))) == LOST


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for a SLURM cluster in front of the search path; submitted files lie in it."""
    folder = tmp_path / "queue"
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel"):
        script = SBATCH.format(python=sys.executable) if name == "sbatch" else "#!/bin/sh\n"
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def options(script: Path) -> dict[str, str]:
    """The options that a submitted file gives to sbatch."""
    lines = script.read_text().splitlines()
    flags = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    return {name: value.strip("'") for name, _, value in (flag.partition("=") for flag in flags)}


def test_equal_light_steps_are_one_array(tmp_path: Path, queue: Path) -> None:
    """Four steps that are ready together are one array of four; each knows its own number."""
    engine = SlurmEngine(SlurmSpec(partition="cpu", at_once=2))
    handles = [engine.start(placed(tmp_path, name), Needs()) for name in "abcd"]
    assert not list(queue.glob("*.sh"))
    assert engine.poll(handles[0]) is None
    (script,) = queue.glob("*.sh")
    asked = options(script)
    assert (asked["array"], asked["partition"], asked["cpus-per-task"]) == ("0-3%2", "cpu", "1")
    noted = [read_json(handle.folder / JOB)["job"] for handle in handles]
    assert noted == ["100_0", "100_1", "100_2", "100_3"]


@pytest.mark.usefixtures("queue")
def test_a_training_on_one_node_is_one_task(tmp_path: Path, queue: Path) -> None:
    """Eight GPUs of one node are asked for one task, which starts torchrun itself."""
    engine = SlurmEngine(SlurmSpec(account="lab", minutes=90, memory_gb=200))
    handle = engine.start(placed(tmp_path, "a"), Needs(cpus=8, gpus=8, processes=8))
    engine.poll(handle)
    asked = options(queue / "100.sh")
    assert (asked["nodes"], asked["ntasks-per-node"], asked["gpus-per-node"]) == ("1", "1", "8")
    assert (asked["cpus-per-task"], asked["time"], asked["mem"]) == ("8", "90", "200GB")
    assert asked["account"] == "lab"


@pytest.mark.usefixtures("queue")
def test_several_nodes_are_a_task_for_each_rank(tmp_path: Path, queue: Path) -> None:
    """Two nodes with four GPUs each are eight tasks; when one fails, SLURM ends the others."""
    engine = SlurmEngine(SlurmSpec(sbatch={"constraint": "a100"}, setup=("module load cuda",)))
    needs = Needs(cpus=4, gpus=4, nodes=2, processes=4)
    engine.poll(engine.start(placed(tmp_path, "a"), needs))
    script = queue / "100.sh"
    asked = options(script)
    assert (asked["nodes"], asked["ntasks-per-node"], asked["gpus-per-node"]) == ("2", "4", "4")
    assert (asked["cpus-per-task"], asked["constraint"]) == ("1", "a100")
    assert "module load cuda\n" in script.read_text()
    assert "--kill-on-bad-exit=1" in script.read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit's Popen
@pytest.mark.parametrize(
    ("said", "code"), [("invalid partition: gpu", 2), ("Unable to contact slurm controller", LOST)]
)
def test_a_refusal_is_explained(tmp_path: Path, queue: Path, said: str, code: int) -> None:
    """What sbatch says reaches the user; only a queue that is away is worth another attempt."""
    (queue / "sbatch").write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    engine = SlurmEngine(SlurmSpec(partition="gpu"))
    handle = engine.start(placed(tmp_path, "a"), Needs())
    assert engine.poll(handle) == code
    message = read_json(handle.folder / "failure.json")["message"]
    assert said in message
    assert "placement: slurm" in message


def test_a_time_limit_that_is_never_enough_is_said(tmp_path: Path, queue: Path) -> None:
    """A job that was queued again as often as allowed ends with what the user can change."""
    assert queue.is_dir()
    engine = SlurmEngine(SlurmSpec(minutes=60, requeues=2))
    handle = engine.start(placed(tmp_path, "a"), Needs())
    engine.poll(handle)
    trace = "submitit.core.utils.UncompletedJobError: Job not requeued because: timed-out"
    assert engine._explained(handle.folder, trace) == 1
    assert "over 3 times; raise `minutes`" in read_json(handle.folder / "failure.json")["message"]


@pytest.mark.slow
def test_output_goes_to_the_log_of_the_step(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """What a step prints, its traceback for example, is in the step's own log."""
    store, step = Store(tmp_path / "run"), Step("fault", "a")
    folder = store.place(step, store.key(step, {}), {})
    engine = SlurmEngine(HERE, toy_step)
    assert ended(engine, engine.start(folder, Needs())) == 1
    assert "RuntimeError: boom" in (folder / LOG).read_text()


def test_a_job_of_another_engine_is_none_of_ours(tmp_path: Path) -> None:
    """What a driver on Ray left in a step's folder keeps nobody from going on with SLURM."""
    engine = SlurmEngine(HERE)
    folder = placed(tmp_path, "a")
    write_json(folder / JOB, {"job": "step-0123456789abcdef"})
    handle = engine.start(folder, Needs())
    assert handle.job is None
    engine.stop(handle)
