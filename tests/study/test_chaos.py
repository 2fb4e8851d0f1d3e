"""Runs that are killed or starved of disk at random moments: they always end with the same bytes.

Training and generation are fast stand-ins (`tests/data/chaos_driver.py`), the rest is real.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.disks import mounted

from mixmerge.durable import holder
from mixmerge.execution.status import STATUS
from mixmerge.execution.store import RECORD, output_digest, read_record
from mixmerge.files import read_json

DATA = Path(__file__).parents[1] / "data"
DRIVER = DATA / "chaos_driver.py"
RUNS, KILLS = 5, 10

pytestmark = pytest.mark.slow


def start(root: Path) -> subprocess.Popen[str]:
    """Start a driver. It leaves out the report, which names the seconds that everything took."""
    command = [sys.executable, str(DRIVER), str(DATA / "small.yaml"), str(root), "results/study"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def to_the_end(root: Path) -> float:
    """Run the study until it is done; return the seconds."""
    before = time.monotonic()
    driver = start(root)
    _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    return time.monotonic() - before


def outputs(root: Path) -> dict[str, str]:
    """Hash what each finished step left on disk, and check that it is what the record says."""
    found = {}
    for folder in sorted(root.glob("*/*-????????")):
        if (folder / RECORD).is_file():
            record = read_record(folder, read_json(folder / RECORD)["key"])
            assert record is not None, folder
            found[str(folder.relative_to(root))] = output_digest(folder)
            assert found[str(folder.relative_to(root))] == record["output"]
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of every run: a merged model's card names the folders it was made from."""
    return tmp_path_factory.mktemp("chaos") / "disk" / "run"


@pytest.fixture(scope="module")
def undisturbed(root: Path) -> tuple[dict[str, str], float]:
    """What a run without accidents leaves, and how long it takes."""
    seconds = to_the_end(root)
    found = outputs(root)
    assert len(found) == 28
    shutil.rmtree(root)
    return found, seconds


def owned(root: Path, driver: subprocess.Popen[str]) -> bool:
    """Say whether the driver has begun."""
    try:
        return bool(json.loads((root / STATUS).read_text())["owner"]["pid"] == driver.pid)
    except (OSError, ValueError):
        return False


def kill_a_worker(root: Path) -> bool:
    """Kill a running step with all it has started; return whether there was one."""
    for lock in sorted(root.glob("*/*/lock")):
        if holder(lock):
            try:
                os.killpg(json.loads(lock.read_text())["pid"], signal.SIGKILL)
            except (ValueError, ProcessLookupError):  # it has no name in it yet, or has just ended
                continue
            return True
    return False


def kill_next_worker(root: Path, driver: subprocess.Popen[str]) -> bool:
    """Kill the next step that runs; return whether there was one before the driver ended."""
    while driver.poll() is None:
        if kill_a_worker(root):
            return True
        time.sleep(0.002)
    return False


def harass(root: Path, draw: random.Random, seconds: float) -> tuple[int, int]:
    """Run a study and kill its workers and drivers now and then; return how many of each."""
    workers = drivers = 0
    driver = start(root)
    while workers + drivers < KILLS:
        while driver.poll() is None and not owned(root, driver):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, seconds / 20))
        if driver.poll() is not None:
            _, said = driver.communicate()
            if driver.returncode == 0:
                break
            assert re.search(r"killed by signal 9\)?; tried 3 times", said), said
            driver = start(root)
        elif draw.random() < 0.5:
            workers += kill_next_worker(root, driver)
        else:
            driver.kill()
            driver.communicate()
            drivers += 1
            driver = start(root)
    driver.kill()
    driver.communicate()
    return workers, drivers


@pytest.mark.timeout(1800)
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    root: Path, undisturbed: tuple[dict[str, str], float]
) -> None:
    """Fifty SIGKILLs of drivers and workers over several runs change no byte of any output."""
    expected, seconds = undisturbed
    draw = random.Random(22)
    killed = [0, 0]
    while sum(killed) < RUNS * KILLS:
        workers, drivers = harass(root, draw, seconds)
        killed = [killed[0] + workers, killed[1] + drivers]
        to_the_end(root)
        assert outputs(root) == expected
        assert not list(root.rglob("*.partial"))
        shutil.rmtree(root)
    assert min(killed) >= 10


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of its own for the run folder; skips where none can be mounted."""
    with mounted(root.parent, "1m") as disk:
        yield disk


@pytest.mark.timeout(1800)
def test_a_disk_that_fills_up_at_random_loses_nothing(
    undisturbed: tuple[dict[str, str], float], small_disk: Path, root: Path
) -> None:
    """Wherever the disk is full, that is said (exit code 2), and with space the run goes on."""
    expected, _ = undisturbed
    draw = random.Random(5)
    for _ in range(4):
        remount(small_disk, draw.randint(40, 21000))
        driver = start(root)
        _, said = driver.communicate(timeout=300)
        assert driver.returncode == 2, said
        assert "the disk is full" in said
        for name, digest in outputs(root).items():
            assert expected[name] == digest
        remount(small_disk, 64_000)
        to_the_end(root)
        assert outputs(root) == expected
        shutil.rmtree(root)


def remount(disk: Path, kilobytes: int) -> None:
    """Give a file system another size."""
    size = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-o", size, str(disk)], check=True)
