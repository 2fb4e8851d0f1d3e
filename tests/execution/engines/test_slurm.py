"""Tests of mixmerge.execution.engines.slurm: real jobs on this machine, and a stand-in queue."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixmerge.durable import read_log
from mixmerge.execution.engine import LOST
from mixmerge.execution.engines import slurm, slurm_queue
from mixmerge.execution.engines.slurm import SlurmEngine, SlurmSpec
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import JOB, JOURNAL, LOG, RECORD, Store
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
if (here / "away").exists():
    sys.exit("sbatch: error: Batch job submission failed: Unable to contact slurm controller")
shutil.copy(sys.argv[1], here / f"{{number}}.sh")
with (here / "states").open("a") as states:
    states.write(f"{{number}}|PENDING\\n")
print("Submitted batch job", number)
'''


SQUEUE = """#!/bin/sh
# A stand-in for squeue: what the file says, unless the controller is away.
cd "$(dirname "$0")"
test -e away && { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
cat states
"""

SCANCEL = """#!/bin/sh
# A stand-in for scancel: a job that SLURM queues again at this moment needs a second one.
cd "$(dirname "$0")"
echo "$1" >> cancelled
test "$(wc -l < cancelled)" -gt 1 && echo "$1|CANCELLED" > states
true
"""


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
def test_a_group_is_one_job(tmp_path: Path, toy_step: tuple[str, ...]) -> None:
    """Steps of a group that are ready together share a process, each with its record and log."""
    steps = [Step("write", name, {"text": name}, together="judges") for name in "abc"]
    broken = Step("user", "d", together="judges")
    outcome = run([*steps, broken], Store(tmp_path / "run"), SlurmEngine(HERE, toy_step))
    assert outcome.failed == {"user/d": (2, "rows.jsonl, line 3: broken.")}
    folders = [outcome.done[step.id] for step in steps]
    assert [(folder / "out.txt").read_text() for folder in folders] == ["a", "b", "c"]
    begun = [next(iter(read_log(folder / JOURNAL))) for folder in folders]
    assert len({entry["pid"] for entry in begun}) == 1


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
def test_ranks_are_tasks_of_one_job(
    tmp_path: Path, toy_step: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of two nodes is two processes that know of each other; the first writes the record."""
    monkeypatch.setattr(SlurmSpec, "gpus_given", lambda _, needs: 4 * needs.nodes)
    store, step = Store(tmp_path / "run"), Step("ranks", "both")
    folder = store.place(step, store.key(step, {}), {})
    engine = SlurmEngine(HERE, toy_step)
    handle = engine.start(folder, Needs(nodes=2))
    assert ended(engine, handle) == 0
    assert (folder / "rank-0.txt").read_text() == (folder / "rank-1.txt").read_text() == "0 1"
    assert read_json(folder / RECORD)["gpus"] == 8


def test_devices_are_counted_on_all_nodes() -> None:
    """Those of every node, no more than the partition has; jobs on this machine have none."""
    needs = Needs(gpus=4, nodes=2)
    assert SlurmSpec().gpus_given(needs) == 8
    assert SlurmSpec(gpus=1).gpus_given(needs) == 2
    assert SlurmSpec().gpus_given(Needs()) == HERE.gpus_given(needs) == 0


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
    assert seen == [1, 1, 0]
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
    (folder / "states").touch()
    scripts = {"sbatch": SBATCH.format(python=sys.executable), "squeue": SQUEUE, "scancel": SCANCEL}
    for name in ("sbatch", "srun", "squeue", "scancel"):
        (folder / name).write_text(scripts.get(name, "#!/bin/sh\n"))
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
def test_a_refusal_is_explained(tmp_path: Path, queue: Path) -> None:
    """What sbatch says reaches the user."""
    (queue / "sbatch").write_text("#!/bin/sh\necho 'invalid partition: gpu' >&2; exit 1\n")
    engine = SlurmEngine(SlurmSpec(partition="gpu"))
    handle = engine.start(placed(tmp_path, "a"), Needs())
    assert engine.poll(handle) == 2
    message = read_json(handle.folder / "failure.json")["message"]
    assert "invalid partition: gpu" in message
    assert "placement: slurm" in message


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks without pauses, so that a test decides what is seen when."""
    monkeypatch.setattr(slurm, "_LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "_CANCEL_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "_RESULT_SECONDS", 0.0)
    monkeypatch.setattr(slurm_queue, "_ASK_EVERY_SECONDS", 1e-9)
    monkeypatch.setattr(slurm_queue, "_LONGEST_PAUSE_SECONDS", 1e-9)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit's Popen
@pytest.mark.usefixtures("fast")
def test_a_controller_that_is_away_is_waited_for(
    tmp_path: Path, queue: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing ends, fails or is sent twice while SLURM does not answer; it is said once."""
    engine = SlurmEngine(SlurmSpec())
    sent = engine.start(placed(tmp_path, "a"), Needs())
    assert engine.poll(sent) is None
    (queue / "away").touch()
    waiting = engine.start(placed(tmp_path, "b"), Needs())
    for _ in range(5):
        assert (engine.poll(sent), engine.poll(waiting)) == (None, None)
    assert (sent.job.job_id, waiting.job) == ("100", None)
    (queue / "away").unlink()
    for _ in range(3):
        assert (engine.poll(sent), engine.poll(waiting)) == (None, None)
    assert (sent.job.job_id, waiting.job.job_id) == ("100", "101")
    assert caplog.text.count("SLURM does not answer") == 1
    assert caplog.text.count("SLURM answers again") == 1


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    "state", ["PENDING", "REQUEUED", "COMPLETING", "SUSPENDED", "CONFIGURING", "REQUEUE_HOLD"]
)
def test_a_job_that_slurm_queues_again_is_still_ours(
    tmp_path: Path, queue: Path, state: str
) -> None:
    """A job without a result that SLURM may yet run is waited for; there is no second one."""
    engine = SlurmEngine(SlurmSpec())
    handle = engine.start(placed(tmp_path, "a"), Needs())
    for seen in ("RUNNING", state, state, "RUNNING"):
        assert engine.poll(handle) is None
        (queue / "states").write_text(f"100|{seen}\n")
    assert engine.poll(handle) is None
    assert len(list(queue.glob("*.sh"))) == 1


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(("state", "jobs"), [("PREEMPTED", 2), ("NODE_FAIL", 2), ("FAILED", 1)])
def test_a_job_that_was_taken_is_sent_again(
    tmp_path: Path, queue: Path, state: str, jobs: int
) -> None:
    """Where SLURM ends a job for reasons of its own and for good, the same attempt goes on."""
    engine = SlurmEngine(SlurmSpec())
    handle = engine.start(placed(tmp_path, "a"), Needs())
    assert engine.poll(handle) is None
    (queue / "states").write_text(f"100|{state}\n")
    codes = [engine.poll(handle)]
    if codes == [None]:
        codes.append(engine.poll(handle))
    assert codes[-1] == (LOST if jobs == 1 else None)
    assert len(list(queue.glob("*.sh"))) == jobs
    if jobs == 2:
        assert read_json(handle.folder / JOB)["job"] == "101"


@pytest.mark.usefixtures("fast")
def test_a_job_that_failed_in_an_outage_is_sent_again(tmp_path: Path, queue: Path) -> None:
    """A job without a result over which the controller was away is no attempt; the next one is."""
    engine = SlurmEngine(SlurmSpec())
    handle = engine.start(placed(tmp_path, "a"), Needs())
    assert engine.poll(handle) is None
    (queue / "away").touch()
    assert engine.poll(handle) is None
    (queue / "away").unlink()
    (queue / "states").write_text("100|FAILED\n")
    until_sent = [engine.poll(handle) for _ in range(2)]
    assert until_sent == [None, None]
    assert handle.job.job_id == "101"
    (queue / "states").write_text("101|FAILED\n")
    assert engine.poll(handle) == LOST


@pytest.mark.usefixtures("fast")
def test_a_job_that_is_queued_again_is_cancelled_too(tmp_path: Path, queue: Path) -> None:
    """Stopping lasts until SLURM says that the job will not run, however often that takes."""
    engine = SlurmEngine(SlurmSpec())
    handle = engine.start(placed(tmp_path, "a"), Needs())
    engine.poll(handle)
    engine.stop(handle)
    assert (queue / "cancelled").read_text() == "100\n100\n"
    assert not (handle.folder / JOB).exists()


@pytest.mark.usefixtures("fast")
def test_a_job_that_cannot_be_cancelled_is_named_and_found_again(
    tmp_path: Path,
    queue: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While SLURM is away nothing can be stopped: the user is told how, the next run knows it."""
    monkeypatch.setattr(slurm, "_PATIENCE_SECONDS", 0.1)
    engine = SlurmEngine(SlurmSpec())
    handle = engine.start(placed(tmp_path, "a"), Needs())
    engine.poll(handle)
    (queue / "away").touch()
    engine.stop(handle)
    assert "scancel 100" in caplog.text
    assert SlurmEngine(SlurmSpec()).start(handle.folder, Needs()).job.job_id == "100"


@pytest.mark.parametrize("noted", ["null", "[]", '{"job": 1', "\x00"])
def test_an_odd_note_of_a_job_is_none(tmp_path: Path, queue: Path, noted: str) -> None:
    """A damaged `job.json` is as good as none: the step is sent."""
    folder = placed(tmp_path, "a")
    (folder / JOB).write_text(noted)
    engine = SlurmEngine(SlurmSpec())
    engine.poll(engine.start(folder, Needs()))
    assert len(list(queue.glob("*.sh"))) == 1


def test_a_time_limit_that_is_never_enough_is_said(tmp_path: Path, queue: Path) -> None:
    """A job that was queued again as often as allowed ends with what the user can change."""
    assert queue.is_dir()
    engine = SlurmEngine(SlurmSpec(minutes=60, requeues=2))
    handle = engine.start(placed(tmp_path, "a"), Needs())
    engine.poll(handle)
    trace = "submitit.core.utils.UncompletedJobError: Job not requeued because: timed-out"
    assert engine._explained(handle.folder, trace) == 1
    assert "time 3 times; raise `minutes`" in read_json(handle.folder / "failure.json")["message"]


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
