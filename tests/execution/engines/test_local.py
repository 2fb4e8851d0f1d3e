"""Tests of mixmerge.execution.engines.local: what happens to steps when their driver goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixmerge.execution.engine import LOST
from mixmerge.execution.engines import local
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import LOCK, LOG, Store
from mixmerge.files import read_json

DRIVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mixmerge.execution.engine import LOST
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.step import Needs
engine = LocalEngine("toy_handlers:HANDLERS", cpus=1)
engine.start(Path(sys.argv[2]), Needs())
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: object, seconds: float = 20.0) -> bool:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("program", [["driver.py"], ["-m", "driver"]])
def test_a_step_dies_with_its_driver(tmp_path: Path, program: list[str]) -> None:
    """After a SIGKILL of the driver no step goes on running; its script needs no main guard."""
    store, step = Store(tmp_path / "run"), Step("write", "slow", {"sleep": 60})
    folder = store.place(step, store.key(step, {}), {})
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, *program, str(tmp_path / "lib"), str(folder)]
    driver = subprocess.Popen(command, cwd=tmp_path)
    lock = folder / LOCK
    assert wait_for(lambda: lock.is_file() and lock.read_text())
    pid = int(read_json(lock)["pid"])
    assert alive(pid)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert wait_for(lambda: not alive(pid))


def test_stop_ends_a_running_step(tmp_path: Path, toy: str) -> None:
    """A stopped step ends within the grace period and leaves no record."""
    store, step = Store(tmp_path / "run"), Step("write", "slow", {"sleep": 60})
    folder = store.place(step, store.key(step, {}), {})
    engine = LocalEngine(toy, cpus=1)
    handle = engine.start(folder, Needs())
    assert wait_for((folder / LOCK).is_file)
    engine.stop(handle)
    assert engine.poll(handle) is not None
    assert not (folder / "record.json").exists()


def test_room_is_counted_in_cores_and_devices(tmp_path: Path, toy: str) -> None:
    """No more cores and devices are handed out than were declared."""
    store, step = Store(tmp_path / "run"), Step("write", "slow", {"sleep": 60})
    folder = store.place(step, store.key(step, {}), {})
    engine = LocalEngine(toy, cpus=2, gpus=["0"])
    assert [engine.room_for(Needs(cpus=cpus)) for cpus in (4, 2, 1)] == [1, 1, 2]
    handle = engine.start(folder, Needs(cpus=1, gpus=1))
    assert [engine.room_for(Needs(cpus=cpus)) for cpus in (2, 1)] == [0, 1]
    assert engine.room_for(Needs(cpus=1, gpus=1)) == 0
    engine.stop(handle)
    assert engine.room_for(Needs(cpus=1, gpus=1)) == 1
    engine.close()


def finish(engine: LocalEngine, folder: Path, needs: Needs) -> Any:
    """Run one step to its end."""
    handle = engine.start(folder, needs)
    assert wait_for(lambda: engine.poll(handle) is not None)
    return handle


def test_a_step_gets_its_cores_and_no_more(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries get one thread whatever the user's shell says; a step may use what it asked for."""
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    store = Store(tmp_path / "run")
    engine = LocalEngine(toy, cpus=2)
    cores = {}
    for asked in (1, 2, 8):
        step = Step("limits", f"a{asked}", {"asked": asked})
        folder = store.place(step, store.key(step, {}), {})
        finish(engine, folder, Needs(cpus=asked))
        facts = read_json(folder / "record.json")["facts"]
        cores[asked] = facts.pop("MIXMERGE_CORES")
        assert facts["MKL_NUM_THREADS"] == "1"
    engine.close()
    assert cores == {1: "1", 2: "2", 8: "2"}
    assert os.environ["OMP_NUM_THREADS"] == "64"


def test_a_step_gets_devices_of_the_user(tmp_path: Path, toy: str) -> None:
    """Devices keep the names that the user gave them; those given back are handed out in order."""
    store = Store(tmp_path / "run")
    engine = LocalEngine(toy, cpus=4, gpus=["GPU-b", "7", "2"])

    def start(name: str, gpus: int) -> Any:
        step = Step("limits", name, {"gpus": gpus})
        return engine.start(store.place(step, store.key(step, {}), {}), Needs(gpus=gpus))

    handles = [start("a", 1), start("b", 1)]
    assert wait_for(lambda: all(engine.poll(handle) is not None for handle in handles))
    handles.append(start("c", 2))
    assert wait_for(lambda: engine.poll(handles[2]) is not None)
    engine.close()
    records = [next(tmp_path.glob(f"run/limits/{name}-*/record.json")) for name in "abc"]
    seen = [read_json(record)["facts"]["CUDA_VISIBLE_DEVICES"] for record in records]
    assert seen == ["GPU-b", "7", "GPU-b,7"]
    assert [read_json(record)["gpus"] for record in records] == [1, 1, 2]


def test_a_record_counts_the_devices_that_were_there(tmp_path: Path, toy: str) -> None:
    """A step that asks for four of one device is recorded with one, and on a machine without: 0."""
    store = Store(tmp_path / "run")
    for name, there in {"one": ["0"], "none": []}.items():
        step = Step("limits", name, {})
        engine = LocalEngine(toy, cpus=1, gpus=there)
        folder = store.place(step, store.key(step, {}), {})
        finish(engine, folder, Needs(gpus=4))
        engine.close()
        assert read_json(folder / "record.json")["gpus"] == len(there)


def test_memory_is_counted(tmp_path: Path, toy: str) -> None:
    """Steps that say what memory they need run side by side only as far as it reaches."""
    store, step = Store(tmp_path / "run"), Step("write", "slow", {"sleep": 60})
    folder = store.place(step, store.key(step, {}), {})
    engine = LocalEngine(toy, cpus=8, memory_gb=10)
    assert [engine.room_for(Needs(memory_gb=size)) for size in (40, 6, 4)] == [1, 1, 2]
    handle = engine.start(folder, Needs(memory_gb=6))
    assert [engine.room_for(Needs(memory_gb=size)) for size in (5, 4)] == [0, 1]
    engine.stop(handle)
    engine.close()


def test_output_is_not_interleaved(tmp_path: Path, toy: str) -> None:
    """What two steps print at the same time stands in their own logs, whole lines each."""
    store, engine = Store(tmp_path / "run"), LocalEngine(toy, cpus=2)
    folders = {}
    handles = []
    for name in ("a", "b"):
        step = Step("chatty", name, {"name": name})
        folders[name] = store.place(step, store.key(step, {}), {})
        handles.append(engine.start(folders[name], Needs()))
    assert wait_for(lambda: all(engine.poll(handle) is not None for handle in handles))
    for name, folder in folders.items():
        head, *lines = (folder / LOG).read_text().splitlines()
        assert head.startswith("=== attempt 1, ")
        assert lines == [name * 20] * 400


def fork_server(folder: Path) -> int:
    """The process that the step in a folder was forked from."""
    child = int(read_json(folder / LOCK)["pid"])
    return int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_step_is_lost_with_its_fork_server(tmp_path: Path, toy: str) -> None:
    """When the system kills the server, its steps are lost and gone, and the next ones start."""
    store, engine = Store(tmp_path / "run"), LocalEngine(toy, cpus=2)
    folders, handles = [], []
    for name in "ab":
        step = Step("write", name, {"sleep": 60})
        folders.append(store.place(step, store.key(step, {}), {}))
        handles.append(engine.start(folders[-1], Needs()))
    for folder in folders:
        assert wait_for(lambda lock=folder / LOCK: lock.is_file() and lock.read_text())
    pids = [int(read_json(folder / LOCK)["pid"]) for folder in folders]
    os.kill(fork_server(folders[0]), signal.SIGKILL)
    for handle, pid in zip(handles, pids, strict=True):
        assert wait_for(lambda handle=handle: engine.poll(handle) is not None)
        assert engine.poll(handle) == LOST
        assert wait_for(lambda pid=pid: not alive(pid))
    step = Step("write", "c")
    folder = store.place(step, store.key(step, {}), {})
    again = engine.start(folder, Needs())
    assert wait_for(lambda: engine.poll(again) is not None)
    assert engine.poll(again) == 0


def test_a_fork_server_that_died_unseen_is_replaced(tmp_path: Path, toy: str) -> None:
    """A step starts although the server was killed the moment before."""
    store, engine = Store(tmp_path / "run"), LocalEngine(toy, cpus=1)
    for name in "abc":
        step = Step("write", name, {"sleep": 0.5})
        folder = store.place(step, store.key(step, {}), {})
        handle = engine.start(folder, Needs())
        assert wait_for(lambda lock=folder / LOCK: lock.is_file() and lock.read_text())
        server = fork_server(folder)
        assert wait_for(lambda handle=handle: engine.poll(handle) == 0)
        os.kill(server, signal.SIGKILL)


@pytest.mark.parametrize(
    ("groups", "limits", "gigabytes"),
    [
        ("0::/\n", {"memory.max": "5000000\n"}, 0.005),
        ("0::/job/step\n", {"job/memory.max": "7000000", "job/step/memory.max": "max"}, 0.007),
        ("3:cpu:/\n4:memory:/docker/x\n0::/\n", {"v1/memory.limit_in_bytes": "9000000"}, 0.009),
        ("4:cpuacct,memory:/\n", {"v1/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_memory_is_what_the_container_allows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    limits: dict[str, str],
    gigabytes: float | None,
) -> None:
    """The lowest limit of a process's control groups counts, in both versions of Linux's files."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    (tmp_path / "groups").write_text(groups)
    for name, limit in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(limit)
    monkeypatch.setattr(local, "_OWN_GROUPS", tmp_path / "groups")
    kept = {"": (tmp_path, "memory.max"), "memory": (tmp_path / "v1", "memory.limit_in_bytes")}
    monkeypatch.setattr(local, "_LIMITS", kept)
    assert local.physical_memory_gb() == pytest.approx(gigabytes or whole)
    assert LocalEngine("toy:HANDLERS", cpus=2).room_for(Needs(memory_gb=whole / 2)) == (
        1 if gigabytes else 2
    )
