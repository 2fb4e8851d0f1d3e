"""Tests of mixmerge.execution.engines.ray: a real Ray cluster of two cores on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmerge.durable import read_log
from mixmerge.errors import ResourceError
from mixmerge.execution.engine import LOST
from mixmerge.execution.engines.ray import RayEngine
from mixmerge.execution.events import Event, Progressed, Started
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import JOB, JOURNAL, RECORD, Store
from mixmerge.files import read_json

pytestmark = pytest.mark.slow

DRIVER = """
import sys, time
from pathlib import Path
from mixmerge.execution.engines.ray import RayEngine
from mixmerge.execution.step import Needs
engine = RayEngine(2, ("toy_step",))
engine.start(Path(sys.argv[1]), Needs(cpus=2))
time.sleep(120)
"""


@pytest.fixture
def engine(toy_step: tuple[str, ...]) -> Iterator[RayEngine]:
    """An engine with a cluster of its own, which ends with the test."""
    made = RayEngine(2, toy_step)
    yield made
    made.close()


def placed(root: Path, kind: str, name: str, **settings: object) -> Path:
    """A step's folder, ready to run."""
    store, step = Store(root / "run"), Step(kind, name, settings)
    return store.place(step, store.key(step, {}), {})


def ended(engine: RayEngine, handle: object, seconds: float = 240) -> int:
    """Wait for a step and return its exit code."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code = engine.poll(handle)  # type: ignore[arg-type]
        if code is not None:
            return code
        time.sleep(0.05)
    raise AssertionError("the step did not end")


def owner(folder: Path, seconds: float = 240) -> int:
    """Wait until a step runs, and return its process."""
    deadline = time.monotonic() + seconds
    lock = folder / "lock"
    while not (lock.is_file() and lock.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(read_json(lock)["pid"])


def parent_of(pid: int) -> int:
    """Return the process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def gone(pid: int, seconds: float = 60) -> bool:
    """Say whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


class KillsTheWorker:
    """Kills the Ray worker of the step that only ends at its second attempt, once."""

    folder: Path | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started) and event.step.kind == "second_time":
            self.folder = self.folder or event.folder
        if not isinstance(event, Progressed) or self.folder is None:
            return
        if (self.folder / "first").exists() and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(parent_of(owner(self.folder)), signal.SIGKILL)


def test_a_graph_with_a_killed_worker(tmp_path: Path, engine: RayEngine) -> None:
    """One of two workers is killed in the middle: its step is done again, and all is as it was."""
    steps = [
        Step("write", "a", {"text": "a"}),
        Step("second_time", "b", {}, {"in": "write/a"}),
        Step("write", "c", {"text": "c", "sleep": 3}, {"in": "write/a"}),
        Step("write", "d", {"text": "d"}, {"in": "write/c", "other": "second_time/b"}),
        Step("user", "e", {}, {"in": "write/a"}),
    ]
    steps[2:2] = [Step("write", name, {}, {"in": "write/a"}, together="g") for name in "fgh"]
    store = Store(tmp_path / "run")

    outcome = run(steps[:-1], store, engine, KillsTheWorker())
    assert set(outcome.done) == {step.id for step in steps[:-1]}
    grouped = [read_log(outcome.done[f"write/{name}"] / JOURNAL) for name in "fgh"]
    assert len({entry["pid"] for log in grouped for entry in log if "pid" in entry}) == 1
    assert read_json(outcome.done["second_time/b"] / RECORD)["attempts"] == 2
    assert (outcome.done["write/d"] / "out.txt").read_text() == "dcab"
    outcome = run(steps, store, engine)
    assert outcome.failed == {"user/e": (2, "rows.jsonl, line 3: broken.")}


def test_a_step_knows_its_cores(tmp_path: Path, engine: RayEngine) -> None:
    """A step is told the cores that it got, which are those of one node where it asked for more."""
    cores = {}
    for asked in (1, 2, 8):
        folder = placed(tmp_path, "limits", f"a{asked}")
        assert ended(engine, engine.start(folder, Needs(cpus=asked))) == 0
        cores[asked] = read_json(folder / RECORD)["facts"]["MIXMERGE_CORES"]
        assert read_json(folder / RECORD)["gpus"] == 0
    assert cores == {1: "1", 2: "2", 8: "2"}
    assert engine._variables({"num_cpus": 1.0, "num_gpus": 4.0})["MIXMERGE_GPUS"] == "4"


def test_a_lost_worker_takes_its_step_with_it(tmp_path: Path, engine: RayEngine) -> None:
    """When a worker is killed, so is the step it runs, and the engine says that it was lost."""
    folder = placed(tmp_path, "write", "slow", sleep=120)
    handle = engine.start(folder, Needs())
    step = owner(folder)
    os.kill(parent_of(step), signal.SIGKILL)
    assert ended(engine, handle) == LOST
    assert gone(step)


def test_a_stopped_step_is_gone(tmp_path: Path, engine: RayEngine) -> None:
    """Stopping a task, a training or one of two nodes ends the process and frees the cores."""
    kinds = {"task": Needs(), "group": Needs(cpus=2), "nodes": Needs(nodes=2)}
    for name, needs in kinds.items():
        folder = placed(tmp_path, "write", name, sleep=120)
        handle = engine.start(folder, needs)
        step = owner(folder)
        engine.stop(handle)
        assert gone(step)
    after = engine.start(placed(tmp_path, "write", "after"), Needs(cpus=2))
    assert ended(engine, after) == 0


def test_a_group_survives_its_driver(
    tmp_path: Path, toy_step: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a SIGKILL of the driver a training goes on, and the next driver waits for this one."""
    ray = str(Path(sys.executable).with_name("ray"))
    port = "26379"
    start = ["start", "--head", "--block", "--num-cpus=2", f"--port={port}"]
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    command = [ray, *start, "--include-dashboard=false"]
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert head.stdout is not None
    try:
        assert any("runtime started" in line for line in head.stdout)
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        folder = placed(tmp_path, "write", "slow", sleep=15)
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(folder)])
        step = owner(folder)
        driver.kill()
        driver.wait()
        engine = RayEngine(2, toy_step)
        assert (folder / JOB).is_file()
        handle = engine.start(folder, Needs(cpus=2))
        assert engine.poll(handle) is None
        assert owner(folder) == step
        assert ended(engine, handle) == 0
        assert read_json(folder / RECORD)["attempts"] == 1
        assert not (folder / JOB).exists()
        engine.close()
    finally:
        head.terminate()  # as Ctrl-C would, it ends the cluster
        head.communicate(timeout=60)


def test_a_training_that_nobody_asks_for_leaves(tmp_path: Path, engine: RayEngine) -> None:
    """When its driver does not come back, a training that ended gives its cores free by itself."""
    import ray

    engine.keep_seconds = 1.0
    folder = placed(tmp_path, "write", "orphan")
    engine.start(folder, Needs(cpus=2))
    deadline = time.monotonic() + 60
    while not (folder / RECORD).exists() or ray.available_resources().get("CPU") != 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_step_gets_helpers_from_its_cluster(tmp_path: Path, engine: RayEngine) -> None:
    """A step that asks for a helper has one on another worker of the cluster that it runs on."""
    folder = placed(tmp_path, "helped", "merge")
    assert ended(engine, engine.start(folder, Needs())) == 0
    assert (folder / "helped.txt").read_text() == "0"


def test_several_nodes_train_through_ray_train(tmp_path: Path, engine: RayEngine) -> None:
    """Two workers of Ray Train are two ranks that know of each other; one record is written."""
    folder = placed(tmp_path, "ranks", "both")
    assert ended(engine, engine.start(folder, Needs(nodes=2))) == 0
    assert (folder / "rank-0.txt").read_text() == (folder / "rank-1.txt").read_text() == "0 1"
    assert (folder / RECORD).is_file()


def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong RAY_ADDRESS is said in one message."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ResourceError, match="no Ray cluster answers"):
        RayEngine(1)
