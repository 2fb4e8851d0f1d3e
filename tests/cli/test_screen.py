"""Tests of mixmerge.cli.screen: what a person reads when something goes wrong."""

import io
from contextlib import closing
from pathlib import Path

from mixmerge.cli.console import Console
from mixmerge.cli.screen import RunScreen, log_tail
from mixmerge.durable import Log
from mixmerge.execution.events import (
    Begun,
    Blocked,
    Event,
    Failed,
    Finished,
    Retried,
    Reused,
    Started,
    Stopping,
    Warned,
)
from mixmerge.execution.step import Step
from mixmerge.execution.store import ATTEMPT, LOG

STEP = Step("train", "sft-15")


def shown(folder: Path, *after: Event) -> str:
    """What the screen prints of one step that is started, and of what comes after."""
    out = io.StringIO()
    with RunScreen([STEP], 1, Console(file=out, width=100)) as screen:
        for event in (Started(STEP, folder), *after):
            screen(event)
    return out.getvalue()


def test_a_failure_shows_its_log_and_its_command(tmp_path: Path) -> None:
    """The end of the log, where it is, and the command that runs the step alone."""
    lines = [f"line {number}" for number in range(100)]
    (tmp_path / LOG).write_text("\n".join([*lines, "boom"]))
    said = shown(tmp_path, Failed(STEP, tmp_path, "boom"))
    assert "✗ train/sft-15: boom" in said
    assert "│ line 99" in said
    assert "│ line 80" not in said
    assert "│ boom" not in said  # said above already
    assert f"mixmerge step {tmp_path}" in said


def test_a_retry_and_a_stop_are_said(tmp_path: Path) -> None:
    """Passing faults and the first Ctrl-C each leave a line."""
    said = shown(
        tmp_path, Retried(STEP, "the network failed"), Started(STEP, tmp_path), Stopping(2)
    )
    assert "↻ train/sft-15: the network failed; again" in said
    assert "Stopping after 2 running steps; Ctrl-C again stops now." in said


def test_a_step_that_could_not_be_placed_has_no_log(tmp_path: Path) -> None:
    """Nothing is pointed to that is not there."""
    said = shown(tmp_path, Failed(STEP, tmp_path / "none", "boom"))
    assert "✗ train/sft-15: boom" in said
    assert "mixmerge step" not in said


def test_the_tail_of_a_huge_log_is_quick(tmp_path: Path) -> None:
    """Only the end of a log is read, whatever its length; broken bytes are no obstacle."""
    (tmp_path / LOG).write_bytes(b"\xff" * 5_000_000 + b"\nlast\n")
    assert log_tail(tmp_path, 3)[-1] == "last"
    assert log_tail(tmp_path / "none", 3) == []


def test_a_log_line_of_an_earlier_attempt_stands_under_no_new_error(tmp_path: Path) -> None:
    """Only the last attempt's part of the log is shown, also where it said nothing more."""
    earlier = f"{ATTEMPT} 1, 2026-11-30\nthe key is not set\n"
    (tmp_path / LOG).write_text(f"{earlier}{ATTEMPT} 2, 2026-11-30\nno such address\n")
    assert log_tail(tmp_path, 20) == ["no such address"]
    said = shown(tmp_path, Failed(STEP, tmp_path, "no such address"))
    assert "the key is not set" not in said
    assert "│" not in said


def test_what_waits_and_what_was_spent_are_said_in_one_line_each(tmp_path: Path) -> None:
    """Nineteen steps behind one failure are one line; dollars stand beside what is done."""
    waiting = [Step("judge", f"m{number}") for number in range(19)]
    with closing(Log(tmp_path / "cache" / "judge" / "spent.jsonl")) as ledger:
        ledger.append(0.42)
    out = io.StringIO()
    with RunScreen([], 2, Console(file=out, width=100), tmp_path) as screen:
        screen(Begun([STEP, *waiting, Step("mix", "a")]))
        screen(Started(Step("mix", "a"), tmp_path))
        screen(Finished(Step("mix", "a"), {"seconds": 2.0}))
        screen(Started(STEP, tmp_path / "none"))
        screen(Failed(STEP, tmp_path / "none", "boom"))
        for step in waiting:
            screen(Blocked(step, STEP.id))
    said = out.getvalue()
    assert "✓ mix/a  2 s  (1/21, $0.42 spent)" in said
    assert said.count("–") == 1
    assert "– train/sft-15 failed: judge/m0 and 18 more steps wait for it." in said
    assert "21 steps: 1 done, 1 failed, 19 blocked." in said


def test_a_second_run_is_counted_on_its_own() -> None:
    """A search runs its steps twice: what the first run did is done in the second, too."""
    out = io.StringIO()
    first, second = Step("mix", "a"), Step("mix", "b")
    with RunScreen([], 2, Console(file=out, width=100)) as screen:
        screen(Begun([first]))
        screen(Started(first, Path("none")))
        screen(Finished(first, {"seconds": 2.0}))
        screen(Begun([first, second]))
        screen(Reused(first, {"seconds": 2.0}))
        screen(Started(second, Path("none")))
        screen(Finished(second, {"seconds": 2.0}))
    assert "2 steps: 2 done." in out.getvalue()


def test_a_warning_is_said_and_a_run_that_never_began_is_not_counted(tmp_path: Path) -> None:
    """What the preflight finds is shown; without steps there is nothing to count."""
    out = io.StringIO()
    with RunScreen([STEP], 1, Console(file=out, width=100), tmp_path) as screen:
        screen(Warned("too few prompts"))
    assert out.getvalue() == "checking files, keys and endpoints\n! too few prompts\n"
