"""Tests of mixmerge.execution.schedule with the local engine."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mixmerge.durable import claimed, holder, read_log
from mixmerge.errors import ResourceError
from mixmerge.execution import schedule
from mixmerge.execution.engine import LOST
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.events import (
    Blocked,
    Ended,
    Event,
    Failed,
    Finished,
    Progressed,
    Retried,
    Reused,
    Started,
    Stopping,
)
from mixmerge.execution.schedule import Outcome, run
from mixmerge.execution.status import status
from mixmerge.execution.step import Step
from mixmerge.execution.store import JOURNAL, LOCK, LOG, RECORD, Store
from mixmerge.files import read_json

Kind = TypeVar("Kind")


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """All events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self, kind: type[Reused | Started | Finished]) -> list[str]:
        """The names of their steps."""
        return [event.step.name for event in self.of(kind)]


@pytest.fixture
def engine(toy: str) -> Iterator[LocalEngine]:
    """A local engine with two cores."""
    engine = LocalEngine(toy, cpus=2)
    yield engine
    engine.close()


@pytest.fixture
def one_core(toy: str) -> Iterator[LocalEngine]:
    """A local engine with one core."""
    engine = LocalEngine(toy, cpus=1)
    yield engine
    engine.close()


def chain(text: str = "x") -> list[Step]:
    """A → b → c, and d beside them."""
    return [
        Step("write", "a", {"text": text}),
        Step("write", "b", {"text": "b"}, inputs={"in": "write/a"}),
        Step("write", "c", {"text": "c"}, inputs={"in": "write/b"}),
        Step("write", "d", {"text": "d"}),
    ]


def walk(steps: list[Step], root: Path, engine: LocalEngine) -> tuple[Outcome, Heard]:
    heard = Heard()
    return run(steps, Store(root), engine, heard), heard


def test_steps_run_in_order_and_are_reused(tmp_path: Path, engine: LocalEngine) -> None:
    """The first walk runs every step after its inputs; the second reuses all of them."""
    first, _ = walk(chain(), tmp_path / "run", engine)
    assert (first.done["write/c"] / "out.txt").read_text() == "cbx"
    assert first.ran == 4
    second, heard = walk(chain(), tmp_path / "run", engine)
    assert second.done == first.done
    assert second.ran == 0
    assert sorted(heard.names(Reused)) == ["a", "b", "c", "d"]


def test_a_change_reruns_what_depends_on_it(tmp_path: Path, engine: LocalEngine) -> None:
    """A changed setting reruns that step and those behind it, nothing else."""
    walk(chain(), tmp_path / "run", engine)
    _, heard = walk(chain("y"), tmp_path / "run", engine)
    assert heard.names(Finished) == ["a", "b", "c"]
    assert heard.names(Reused) == ["d"]


def test_a_data_step_passes_on_its_output(tmp_path: Path, engine: LocalEngine) -> None:
    """A reworded recipe that yields the same output reruns nothing behind it."""
    steps = [
        Step("write", "a", {"text": "rows", "note": 1}, by_output=True),
        Step("write", "b", {}, inputs={"in": "write/a"}),
    ]
    walk(steps, tmp_path / "run", engine)
    steps[0] = Step("write", "a", {"text": "rows", "note": 2}, by_output=True)
    _, heard = walk(steps, tmp_path / "run", engine)
    assert heard.names(Finished) == ["a"]
    assert heard.names(Reused) == ["b"]


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("user", 2, "rows.jsonl, line 3: broken."),
        ("fault", 1, "RuntimeError: boom"),
        (
            "vanish",
            1,
            "the process ended without a message (killed by signal 9); tried 3 times",
        ),
    ],
)
def test_a_failure_stops_only_what_depends_on_it(
    tmp_path: Path, engine: LocalEngine, kind: str, code: int, message: str
) -> None:
    """Steps behind a failed one are blocked; the others finish."""
    steps = [
        Step(kind, "bad"),
        Step("write", "behind", inputs={"in": f"{kind}/bad"}),
        Step("write", "further", inputs={"in": "write/behind"}),
        Step("write", "beside", {"text": "fine"}),
    ]
    outcome, heard = walk(steps, tmp_path / "run", engine)
    assert outcome.failed == {f"{kind}/bad": (code, message)}
    assert outcome.blocked == ["write/behind", "write/further"]
    assert [event.by for event in heard.of(Blocked)] == [f"{kind}/bad", "write/behind"]
    assert list(outcome.done) == ["write/beside"]
    assert [event.message for event in heard.of(Failed)] == [message]


def test_only_the_wanted_steps_run(tmp_path: Path, engine: LocalEngine) -> None:
    """With `only`, a step and what it needs run, and nothing else."""
    heard = Heard()
    run(chain(), Store(tmp_path / "run"), engine, heard, only=["write/b"])
    assert heard.names(Finished) == ["a", "b"]


def test_progress_is_heard(tmp_path: Path, engine: LocalEngine) -> None:
    """What a running step says of its progress reaches the listener."""
    step = Step("write", "slow", {"sleep": 0.3})
    _, heard = walk([step], tmp_path / "run", engine)
    assert Progressed(step, 1, 2, "writing") in heard.of(Progressed)


def test_the_output_of_a_step_is_in_its_log(tmp_path: Path, engine: LocalEngine) -> None:
    """The traceback of a fault of ours is in the step's log."""
    walk([Step("fault", "bad")], tmp_path / "run", engine)
    (log,) = (tmp_path / "run").glob("fault/bad-*/log.txt")
    assert "RuntimeError: boom" in log.read_text()


def test_a_passing_fault_is_retried(tmp_path: Path, engine: LocalEngine) -> None:
    """A step that the network fails twice is done at the third attempt, and its record says so."""
    steps = [Step("flaky", "a", {"works_at": 3}), Step("write", "b", inputs={})]
    outcome, heard = walk(steps, tmp_path / "run", engine)
    assert not outcome.failed
    messages = [event.message for event in heard.of(Retried)]
    assert messages == ["TimeoutError: the network is slow"] * 2
    assert read_json(outcome.done["flaky/a"] / RECORD)["attempts"] == 3


def test_attempts_are_counted(tmp_path: Path, engine: LocalEngine) -> None:
    """A fault that does not pass ends after the stated number of attempts."""
    heard = Heard()
    steps = [Step("flaky", "a", {"works_at": 9})]
    outcome = run(steps, Store(tmp_path), engine, heard, attempts=2)
    assert outcome.failed == {"flaky/a": (1, "TimeoutError: the network is slow; tried 2 times")}


def test_python_errors_are_not_retried(tmp_path: Path, engine: LocalEngine) -> None:
    """A fault of ours or of the user would be met again: one attempt."""
    _, heard = walk([Step("fault", "a"), Step("user", "b")], tmp_path / "run", engine)
    assert heard.of(Retried) == []


def test_a_full_disk_fails_one_step_only(
    tmp_path: Path, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that cannot even be placed fails with its reason; the others are run."""
    place = Store.place

    def full(self: Store, step: Step, key: str, parents: Any, then: Any) -> Path:
        if step.name == "a":
            raise ResourceError("the disk is full")
        return place(self, step, key, parents, then)

    monkeypatch.setattr(Store, "place", full)
    outcome, _ = walk(chain(), tmp_path / "run", engine)
    assert outcome.failed == {"write/a": (2, "the disk is full")}
    assert outcome.blocked == ["write/b", "write/c"]
    assert list(outcome.done) == ["write/d"]


def test_a_deleted_folder_is_made_again(tmp_path: Path, engine: LocalEngine) -> None:
    """A step's folder, or only its output, deleted by hand is recomputed; nothing else is."""
    root = tmp_path / "run"
    first, _ = walk(chain(), root, engine)
    shutil.rmtree(first.done["write/d"])
    (first.done["write/b"] / "out.txt").unlink()
    second, heard = walk(chain(), root, engine)
    assert sorted(heard.names(Finished)) == ["b", "d"]
    assert (second.done["write/b"] / "out.txt").read_text() == "bx"


def test_a_second_driver_is_refused(tmp_path: Path, engine: LocalEngine) -> None:
    """Two runs in one folder at once: the second is told who the first is."""
    with (
        claimed(tmp_path / LOCK, "study", patience=0.0),
        pytest.raises(ResourceError, match=rf"running this study \(process {os.getpid()} on"),
    ):
        run(chain(), Store(tmp_path), engine, Heard(), begin=lambda: pytest.fail("not ours"))


class Impatient(Heard):
    """Presses Ctrl-C so many times when the first step has started."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, Started):
            wait_until(lambda: bool(holder(event.folder / LOCK)))
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_ctrl_c_once_lets_what_runs_finish(tmp_path: Path, toy: str) -> None:
    """After one Ctrl-C the running step is finished and recorded, and nothing is started."""
    heard, engine = Impatient(1), LocalEngine(toy, cpus=1)
    steps = [Step("write", "a", {"sleep": 0.3}), Step("write", "b")]
    with pytest.raises(KeyboardInterrupt):
        run(steps, Store(tmp_path), engine, heard)
    assert heard.names(Started) == ["a"]
    assert heard.names(Finished) == ["a"]
    assert heard.of(Stopping) == [Stopping(1)]
    assert heard.of(Ended) == [Ended("interrupted")]
    assert status(tmp_path).counts == {"done": 1, "waiting": 1}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_twice_stops_now(tmp_path: Path, toy: str) -> None:
    """After a second Ctrl-C the running step is stopped at once and has no record."""
    heard, engine = Impatient(2), LocalEngine(toy, cpus=1)
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([Step("write", "a", {"sleep": 100})], Store(tmp_path), engine, heard)
    assert time.monotonic() - before < 60
    (lock,) = tmp_path.glob("write/a-*/lock")
    assert not holder(lock)
    assert not (lock.parent / RECORD).exists()
    assert heard.of(Ended) == [Ended("interrupted")]


def test_ctrl_c_at_the_very_end_changes_nothing(tmp_path: Path, toy: str) -> None:
    """When the step that ran was the last one, the run is complete."""
    heard, engine = Impatient(1), LocalEngine(toy, cpus=1)
    outcome = run([Step("write", "a")], Store(tmp_path), engine, heard)
    assert list(outcome.done) == ["write/a"]
    assert heard.of(Ended) == [Ended("done")]


class Doomed:
    """Something whose end is the moment of Ctrl-C: what is raised there is lost."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Doom(Heard):
    """Meets a doomed thing whenever a step has finished."""

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, Finished):
            Doomed()


def test_an_interrupt_that_python_loses_still_counts(
    tmp_path: Path, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C twice while destructors run stops the walk; the handler is as it was afterwards."""
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda said: lost.append(said.exc_type))
    before = signal.getsignal(signal.SIGINT)
    heard = Doom()
    with pytest.raises(KeyboardInterrupt):
        run(chain(), Store(tmp_path / "run"), engine, heard)
    assert set(lost) == {KeyboardInterrupt}
    assert signal.getsignal(signal.SIGINT) is before
    assert "c" not in heard.names(Started)


def test_a_step_that_another_process_runs_is_waited_for(
    tmp_path: Path, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs a step, it is one attempt: with a single one allowed, the run waits and ends."""
    monkeypatch.setattr(schedule, "_HELD_SECONDS", 0.1)
    store, step = Store(tmp_path / "run"), Step("write", "a", {"text": "a"})
    folder = store.place(step, store.key(step, {}), {})

    class Impatient(LocalEngine):
        """Says of each of its first two steps that it is lost."""

        lost = 0

        def poll(self, handle: Any) -> int | None:
            code = super().poll(handle)
            if code is None and self.lost < 2:
                self.stop(handle)
                self.lost += 1
                return LOST
            return code

    heard = Heard()
    other = claimed(folder / LOCK, "step", patience=0.0)
    other.__enter__()

    def listen(event: Event) -> None:
        heard(event)
        if len(heard.of(Retried)) == 2 and isinstance(event, Retried):
            other.__exit__(None, None, None)

    impatient = Impatient(engine._entry, cpus=2)
    outcome = run([step], store, impatient, listen, attempts=1)
    impatient.close()
    assert outcome.failed == {}
    told = [event.message for event in heard.of(Retried)]
    assert len(told) == 2
    assert all(f"another process is running it (process {os.getpid()}" in text for text in told)


def test_a_step_without_room_for_a_reason_has_one(
    tmp_path: Path, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk so full that a step cannot say why it ended, the run says it."""
    monkeypatch.setattr(schedule, "no_room", lambda folder: folder.name.startswith("gone"))
    outcome, _ = walk([Step("vanish", "gone")], tmp_path / "run", engine)
    code, message = outcome.failed["vanish/gone"]
    assert code == 2
    assert "the disk is full" in message


@pytest.mark.parametrize("text", ["null", "[]", '{"code": "x"}', '{"message": 1}', "{"])
def test_an_odd_reason_is_none(tmp_path: Path, engine: LocalEngine, text: str) -> None:
    """A damaged `failure.json` does not stop the run; the step's exit code says what there is."""
    step = Step("odd", "a", {"text": text})
    outcome, _ = walk([step], tmp_path / "run", engine)
    assert outcome.failed == {"odd/a": (1, "the process ended without a message (exit code 1)")}


def grouped(kind: str, name: str, **more: Any) -> Step:
    """Return a step of a group that runs in one process."""
    return Step(kind, name, together="judges", **more)


def pids(outcome: Outcome) -> dict[str, list[int]]:
    """Return the processes that began each finished step, by its name."""
    return {
        id_.partition("/")[2]: [
            entry["pid"] for entry in read_log(folder / JOURNAL) if entry["event"] == "started"
        ]
        for id_, folder in outcome.done.items()
    }


def test_a_group_runs_in_one_process(tmp_path: Path, one_core: LocalEngine) -> None:
    """It waits for the inputs of all its steps; each has its own output, log and record."""
    slow = Step("write", "slow", {"sleep": 0.3, "text": "s"})
    group = [
        grouped("chatty", "a"),
        grouped("chatty", "b"),
        grouped("write", "c", inputs={"in": "write/slow"}),
    ]
    outcome, heard = walk([*group, slow], tmp_path / "run", one_core)
    ran = pids(outcome)
    assert ran["a"] == ran["b"] == ran["c"]
    assert ran["slow"] != ran["a"]
    assert (outcome.done["write/c"] / "out.txt").read_text() == "s"
    for name in "ab":
        log = (outcome.done[f"chatty/{name}"] / LOG).read_text()
        assert log.count(name * 20) == 400
        assert ("a" if name == "b" else "b") * 20 not in log
    assert sorted(heard.names(Finished)) == ["a", "b", "c", "slow"]
    again, _ = walk([*group, slow], tmp_path / "run", one_core)
    assert again.ran == 0


def test_a_group_does_not_wait_for_what_cannot_come(tmp_path: Path, one_core: LocalEngine) -> None:
    """A step whose input failed is blocked, and the others of its group run."""
    steps = [
        Step("user", "broken"),
        grouped("write", "a"),
        grouped("write", "b", inputs={"in": "user/broken"}),
        grouped("user", "c"),
        grouped("write", "d"),
    ]
    outcome, _ = walk(steps, tmp_path / "run", one_core)
    assert set(outcome.done) == {"write/a", "write/d"}
    assert pids(outcome)["a"] == pids(outcome)["d"]
    assert outcome.blocked == ["write/b"]
    assert outcome.failed["user/c"] == (2, "rows.jsonl, line 3: broken.")


def test_a_killed_group_keeps_what_is_finished(tmp_path: Path, one_core: LocalEngine) -> None:
    """The steps before the one that killed the process are done; each other is tried alone."""
    steps = [grouped("write", "a"), grouped("vanish", "b"), grouped("write", "c")]
    outcome, heard = walk(steps, tmp_path / "run", one_core)
    assert set(outcome.done) == {"write/a", "write/c"}
    assert list(outcome.failed) == ["vanish/b"]
    ran = pids(outcome)
    assert (len(ran["a"]), len(ran["c"])) == (1, 1)
    assert ran["a"] != ran["c"]
    assert [event.step.name for event in heard.of(Retried)].count("c") == 1


def test_a_group_is_spread_over_the_room(tmp_path: Path, engine: LocalEngine) -> None:
    """With two free cores, four steps run in two processes."""
    outcome, _ = walk([grouped("write", name) for name in "abcd"], tmp_path / "run", engine)
    ran = pids(outcome)
    assert ran["a"] == ran["c"] != ran["b"] == ran["d"]


def test_a_step_of_a_group_is_reported_when_it_ends(tmp_path: Path, one_core: LocalEngine) -> None:
    """The others in its process may still have hours to go."""
    steps = [grouped("write", "a"), grouped("write", "b", settings={"sleep": 1})]
    left: dict[str, int] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            left[event.step.name] = 2 - len(list((tmp_path / "run").glob(f"write/*/{RECORD}")))

    run(steps, Store(tmp_path / "run"), one_core, listen)
    assert left == {"a": 1, "b": 0}
