"""Tests of mixmerge.execute.local: what happens to steps when their driver goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixmerge.execute.claim import holder
from mixmerge.execute.local import LocalEngine
from mixmerge.execute.step import Needs, Step
from mixmerge.execute.store import LOCK, Store

DRIVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mixmerge.execute.claim import holder
from mixmerge.execute.local import LocalEngine
from mixmerge.execute.step import Needs
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
def test_a_step_dies_with_its_driver(tmp_path: Path) -> None:
    """After a SIGKILL of the driver no step goes on running; its script needs no main guard."""
    store, step = Store(tmp_path / "run"), Step("write", "slow", {"sleep": 60})
    folder = store.place(step, store.key(step, {}), {})
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path / "lib"), str(folder)])
    lock = folder / LOCK
    assert wait_for(lambda: holder(lock) is not None)
    owner = holder(lock)
    assert owner is not None
    pid = owner.pid
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
    engine = LocalEngine(toy, cpus=2, gpus=1)
    assert engine.room_for(Needs(cpus=4))
    handle = engine.start(folder, Needs(cpus=1, gpus=1))
    assert engine.room_for(Needs(cpus=1))
    assert not engine.room_for(Needs(cpus=2))
    assert not engine.room_for(Needs(cpus=1, gpus=1))
    engine.stop(handle)
    assert engine.room_for(Needs(cpus=2, gpus=1))
    engine.close()
