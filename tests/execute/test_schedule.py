"""Tests of mixmerge.execute.schedule with the local engine."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge.execute.listener import Unheard
from mixmerge.execute.local import LocalEngine
from mixmerge.execute.schedule import Outcome, run
from mixmerge.execute.step import Step
from mixmerge.execute.store import Store


class Heard(Unheard):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        self.events.append(("reused", record["name"]))

    def started(self, step: Step, folder: Path) -> None:
        self.events.append(("started", step.name))

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        self.events.append(("progressed", f"{step.name} {done:g}/{total:g} {what}"))

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        self.events.append(("finished", record["name"]))

    def failed(self, step: Step, folder: Path, message: str) -> None:
        self.events.append(("failed", message))

    def blocked(self, step: Step, by: str) -> None:
        self.events.append(("blocked", by))

    def names(self, event: str) -> list[str]:
        return [name for kind, name in self.events if kind == event]


@pytest.fixture
def engine(toy: str) -> Iterator[LocalEngine]:
    """A local engine with two cores."""
    engine = LocalEngine(toy, cpus=2)
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
    assert sorted(heard.names("reused")) == ["a", "b", "c", "d"]


def test_a_change_reruns_what_depends_on_it(tmp_path: Path, engine: LocalEngine) -> None:
    """A changed setting reruns that step and those behind it, nothing else."""
    walk(chain(), tmp_path / "run", engine)
    _, heard = walk(chain("y"), tmp_path / "run", engine)
    assert heard.names("finished") == ["a", "b", "c"]
    assert heard.names("reused") == ["d"]


def test_a_data_step_passes_on_its_output(tmp_path: Path, engine: LocalEngine) -> None:
    """A reworded recipe that yields the same output reruns nothing behind it."""
    steps = [
        Step("write", "a", {"text": "rows", "note": 1}, by_output=True),
        Step("write", "b", {}, inputs={"in": "write/a"}),
    ]
    walk(steps, tmp_path / "run", engine)
    steps[0] = Step("write", "a", {"text": "rows", "note": 2}, by_output=True)
    _, heard = walk(steps, tmp_path / "run", engine)
    assert heard.names("finished") == ["a"]
    assert heard.names("reused") == ["b"]


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("user", 2, "rows.jsonl, line 3: broken."),
        ("fault", 1, "RuntimeError: boom"),
        ("vanish", 1, "the process ended without a word (killed by signal 9); tried 3 times"),
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
    assert list(outcome.done) == ["write/beside"]
    assert heard.names("failed") == [message]


def test_only_the_wanted_steps_run(tmp_path: Path, engine: LocalEngine) -> None:
    """With `only`, a step and what it needs run, and nothing else."""
    heard = Heard()
    run(chain(), Store(tmp_path / "run"), engine, heard, only=["write/b"])
    assert heard.names("finished") == ["a", "b"]


def test_progress_is_heard(tmp_path: Path, engine: LocalEngine) -> None:
    """What a running step says of its progress reaches the listener."""
    _, heard = walk([Step("write", "slow", {"sleep": 0.3})], tmp_path / "run", engine)
    assert "slow 1/2 writing" in heard.names("progressed")


def test_the_output_of_a_step_is_in_its_log(tmp_path: Path, engine: LocalEngine) -> None:
    """The traceback of a fault of ours is in the step's log."""
    walk([Step("fault", "bad")], tmp_path / "run", engine)
    (log,) = (tmp_path / "run").glob("fault/bad-*/log.txt")
    assert "RuntimeError: boom" in log.read_text()


class Doomed:
    """Something whose end is the moment of Ctrl-C: what is raised there is lost."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_python_loses_still_counts(
    tmp_path: Path, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a destructor runs stops the walk, and the handler is as it was afterwards."""
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda said: lost.append(said.exc_type))
    before = signal.getsignal(signal.SIGINT)
    heard = Heard()
    monkeypatch.setattr(heard, "finished", lambda *_: Doomed() and None)
    with pytest.raises(KeyboardInterrupt):
        run(chain(), Store(tmp_path / "run"), engine, heard)
    assert set(lost) == {KeyboardInterrupt}
    assert signal.getsignal(signal.SIGINT) is before
    assert "c" not in heard.names("started")
