"""Whatever fails and whenever the program is killed: nothing is lost, nothing is paid for twice."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.evaluation.calls.judging_client import IN_FLIGHT

from mixmerge.durable import value_of
from mixmerge.files import read_rows
from mixmerge.records import MISSING, Verdict

PAIRS = 300
KILLS = 20
ROOT = Path(__file__).parents[3]


@contextmanager
def faulty_server(log: Path, seed: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.evaluation.calls.faulty_server", str(log), str(seed)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        server.communicate(timeout=60)


def client(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.evaluation.calls.judging_client", url]
    return subprocess.Popen([*command, str(folder), str(PAIRS)], cwd=ROOT)


class ServerLog:
    """What the server saw."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self) -> list[tuple[str, str]]:
        """Return the events of the whole lines: the server may be in the middle of the last one."""
        whole = self._path.read_bytes().split(b"\n")[:-1] if self._path.exists() else []
        return [(key, event) for key, event, _ in map(json.loads, whole)]

    def settled(self) -> list[tuple[str, str]]:
        """Return the events once the server is done with every call."""
        for _ in range(1200):
            events = self.events()
            count = Counter(event for _, event in events)
            if count["asked"] == count["over"]:
                return events
            time.sleep(0.05)
        raise AssertionError("the server is not done with its calls after a minute")

    def wait_for(self, asked: int) -> None:
        while sum(event == "asked" for _, event in self.events()) < asked:
            time.sleep(0.002)


def journalled(folder: Path) -> list[str]:
    """Return the keys of the journal's whole lines."""
    path = folder / "calls.jsonl"
    whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [value_of(line + b"\n")[0] for line in whole]


@dataclass
class Life:
    """What one process did, from its start to its end or its death."""

    before: list[str]
    """Keys in the journal at its start."""
    after: list[str]
    """Keys in the journal at its end."""
    events: list[tuple[str, str]]
    killed: bool

    asked: list[str] = field(init=False)
    answered: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.asked = [key for key, event in self.events if event == "asked"]
        self.answered = [key for key, event in self.events if event == "answered"]


def live(url: str, folder: Path, log: ServerLog, kill_after: int | None) -> Life:
    """Run the client to its end, or kill it once it has asked so many calls."""
    before, seen = journalled(folder), log.settled()
    with client(url, folder) as process:
        try:
            if kill_after is not None:
                log.wait_for(sum(event == "asked" for _, event in seen) + kill_after)
                process.kill()
            code = process.wait(timeout=300)
        finally:
            process.kill()
    assert code == (0 if kill_after is None else -9)
    events = log.settled()[len(seen) :]
    return Life(before, journalled(folder), events, kill_after is not None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_and_nothing_is_asked_twice(tmp_path: Path, seed: int) -> None:
    """Three calls in ten fail and twenty processes are killed; the server's own count agrees.

    The only answers that are paid for and lost are those in flight when a process was killed.
    """
    draw, log, folder = random.Random(seed), ServerLog(tmp_path / "log"), tmp_path / "out"
    lives: list[Life] = []
    with faulty_server(tmp_path / "log", seed) as url:
        moments = (draw.randrange(1, 40) for _ in range(KILLS))
        lives.extend(live(url, folder, log, moment) for moment in moments)
        for _ in range(10):
            lives.append(live(url, folder, log, kill_after=None))
            verdicts = read_rows(folder / "verdicts.jsonl", Verdict)
            if all(verdict.outcome != "error" for verdict in verdicts):
                break
            assert all(verdict.reason for verdict in verdicts if verdict.outcome == "error")

    # Every verdict is there exactly once, with an outcome or its reason.
    places = Counter((verdict.prompt, verdict.order) for verdict in verdicts)
    assert len(places) == 2 * PAIRS
    assert set(places.values()) == {1}
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    assert set(outcomes) == {"win", "loss", "unreadable", "refused"}
    assert all(verdict.reason for verdict in verdicts if verdict.outcome in MISSING)

    # The journal has every call once, and no life asked what it had found there.
    keys = journalled(folder)
    assert len(keys) == len(set(keys)) == 2 * PAIRS
    for process in lives:
        assert not set(process.asked) & set(process.before)
        assert process.after[: len(process.before)] == process.before

    # A good answer was not asked again by the process that got it.
    for process in lives:
        assert max(Counter(process.answered).values(), default=1) == 1
        for key in process.answered:
            events = [event for asked, event in process.events if asked == key]
            assert "asked" not in events[events.index("answered") :]

    # The server's count of good answers is ours, and those in flight at a death.
    lost = [set(process.answered) - set(process.after) for process in lives]
    assert sum(len(process.answered) for process in lives) == len(keys) + sum(map(len, lost))
    for process, missing in zip(lives, lost, strict=True):
        assert len(missing) <= (IN_FLIGHT if process.killed else 0)
    assert sum(process.killed for process in lives) == KILLS
    assert sum(map(len, (process.asked for process in lives))) > 1.3 * len(keys)
