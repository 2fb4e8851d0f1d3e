"""A run is stopped by Ctrl-C or killed: `status` says how it stands, and it goes on from there."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.tutorials.commands import begin, end, mixmerge, press_ctrl_c, wait_until

from mixmerge.execution.status import STATUS, status

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()
WANTED = ("--only", "train/sft-0", "--workers", "2", "--out", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a study whose first training takes a while."""
    (tmp_path / "small.yaml").write_text(SMALL.replace("epochs: 1,", "epochs: 60,"))
    return tmp_path


def training(folder: Path) -> subprocess.Popen[str]:
    """Start the run, and return when it trains."""
    process = begin(folder, "run", "small.yaml", *WANTED)

    def trains() -> bool:
        if not (folder / "out" / STATUS).is_file():
            return False
        steps = {step.step: step for step in status(folder / "out").steps}
        return steps["train/sft-0"].state == "running" and bool(steps["train/sft-0"].done)

    wait_until(trains, process)
    return process


def counts(said: str) -> str:
    """Return how many steps there are and how they stand, in the words of a command."""
    (found,) = re.findall(r"\d+ steps: [a-z0-9, ]+", said)
    return str(found)


def test_ctrl_c_twice_stops_now_and_keeps_what_is_done(folder: Path) -> None:
    """Exit code 130 and what to do; `status` agrees; the same command does only the rest."""
    process = training(folder)
    code, live = mixmerge(folder, "status", "out")
    assert code == 0
    assert counts(live) == "8 steps: 7 done, 1 running"
    assert "running" in live.splitlines()[0]
    press_ctrl_c(process)
    wait_until(lambda: status(folder / "out").state == "stopping", process)
    press_ctrl_c(process)
    code, said = end(process)
    assert code == 130
    assert "run the same command again to continue" in said
    code, after = mixmerge(folder, "status", "out")
    assert "interrupted" in after.splitlines()[0]
    assert counts(after) == counts(live).replace("running", "waiting")
    assert "was running when the run ended" in after


def test_a_killed_run_goes_on(folder: Path) -> None:
    """Nobody could say good-bye: `status` says dead, and the run finishes what is missing."""
    process = training(folder)
    process.send_signal(signal.SIGKILL)
    assert end(process)[0] == -signal.SIGKILL
    _, dead = mixmerge(folder, "status", "out")
    assert "dead" in dead.splitlines()[0]
    assert "run the same command again to continue" in dead
    done = int(counts(dead).split()[2])
    (folder / "small.yaml").write_text(SMALL)  # and a shorter training in place of the long one
    code, said = mixmerge(folder, "run", "small.yaml", *WANTED)
    assert code == 0, said
    assert f"{done} steps are already done" in said
    _, finished = mixmerge(folder, "status", "out")
    assert counts(said) == counts(finished) == f"{done + 1} steps: {done + 1} done"
