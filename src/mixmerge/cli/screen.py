"""Show progress: bars on a terminal, one line per event elsewhere."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from mixmerge.cli.console import Console
from mixmerge.execution import events
from mixmerge.execution.status import counted, waiting_for
from mixmerge.execution.step import Step
from mixmerge.execution.store import ATTEMPT, LOG
from mixmerge.progress import Progress as ProgressListener
from mixmerge.yaml_file import one_line

if TYPE_CHECKING:
    from mixmerge.evaluation.calls.spending import Spending


def duration(seconds: float) -> str:
    """Format a duration: ``7 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def spent_so_far(root: Path) -> str:
    """Return what calls to priced endpoints have cost in a run folder; empty if nothing."""
    from mixmerge.evaluation.calls.spending import spent
    from mixmerge.reporting import formats

    found = {kind: dollars for kind, dollars in spent(root).items() if dollars}
    if found and sum(found.values()) < _ONE_CENT:
        return "spent at endpoints: less than $0.01"
    return f"spent at endpoints: {formats.dollars(found)}" if found else ""


_CHECKING = "checking files, keys and endpoints"
_LONG_SECONDS = 5.0
"""Without bars, the start of a step is printed if it is expected to take this long."""
_ONE_CENT = 0.01
_MONEY_SECONDS = 5.0
"""Between two readings of what was spent."""
_TAIL_LINES = 15
"""Lines shown of a failed step's log."""


def _bars(console: Console, width: int, *counts: ProgressColumn) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=width),
        TextColumn("{task.percentage:>3.0f} %"),
        *counts,
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class RunScreen:
    """Shows a run: a bar for all steps with the time left, and one for each running step."""

    def __init__(
        self,
        steps: list[Step],
        workers: int,
        console: Console | None = None,
        root: Path | None = None,
    ) -> None:
        """Show these steps of the run folder ``root``; at most ``workers`` run at a time."""
        self.console = console or Console()
        self._root = root
        self._workers = workers
        self._money = ""
        self._spending: Spending | None = None
        self._asked = -_MONEY_SECONDS
        self._expected = self._took = 0.0
        self._shares: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._waits: dict[str, str] = {}
        self._begun = False
        self._started = False
        self._work: TaskID | None = None
        self._bars = _bars(self.console, width=24)
        self._whole = self._bars.add_task(_CHECKING, total=1.0, note="")
        self._take(steps)

    def _take(self, steps: Sequence[Step]) -> None:
        """Set the steps of the run."""
        self._steps = {step.id: step for step in steps}
        self._where: dict[str, str] = {}
        self._waiting = dict(self._steps)
        self._states: Counter[str] = Counter(waiting=len(steps))

    def __enter__(self) -> Self:
        """Start to show."""
        self._bars.start()
        if not self.console.is_terminal:
            self._say(_CHECKING, "dim")
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bars away; the lines of finished steps stay."""
        self._bars.stop()
        for line in waiting_for(self._waits):
            self._line("–", "yellow", line)
        if self._begun:
            self._say(f"{counted(self._states)}.", "dim")

    def _say(self, text: str, style: str) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    def __call__(self, event: events.Event) -> None:
        """Show an event of the run."""
        self._show_of_run(event)
        self._show_of_step(event)
        self._update()

    def show_work(self, done: float, total: float, what: str) -> None:
        """Show how far some work is that is no step of the run."""
        if self._work is None:
            self._work = self._bars.add_task(what, total=total, note="")
        self._bars.update(self._work, description=what, completed=done, total=total)
        if not self.console.is_terminal:
            self._say(f"{what}: {done:g} of {total:g}", "dim")

    def _show_of_run(self, event: events.Event) -> None:
        match event:
            case events.Warned(message):
                self._line("!", "yellow", message)
            case events.Begun(steps):
                self._take(steps)
                self._begun = True
                where = f" in {self._root}" if self._root else ""
                cores = f"{self._workers} core{'s' * (self._workers != 1)}"
                self._say(f"{len(steps)} steps on {cores}{where}", "dim")
            case events.Stopping(running):
                number = f"{running} running step{'s' * (running != 1)}"
                self._say(f"Stopping after {number}; Ctrl-C again stops now.", "yellow")

    def _show_of_step(self, event: events.Event) -> None:
        match event:
            case events.Reused(step):
                self._waiting.pop(step.id, None)
                self._move(step, "done")
            case events.Started(step):
                self._say_once_what_is_done()
                self._move(step, "running")
                if not self.console.is_terminal and step.needs.seconds >= _LONG_SECONDS:
                    self._line("▸", "dim", f"{step.id}: started")
                self._tasks[step.id] = self._bars.add_task(step.id, total=None, note="starting")
            case events.Progressed(step, done, total, what) if step.id in self._tasks:
                self._shares[step.id] = done / total if total else 0.0
                self._bars.update(self._tasks[step.id], completed=done, total=total, note=what)
            case events.Finished(step, record):
                self._end(step, "done")
                self._expected += step.needs.seconds
                self._took += float(record["seconds"])
                self._line("✓", "green", step.id, self._after(float(record["seconds"])))
            case events.Retried(step, message):
                self._end(step, "waiting")
                self._waiting[step.id] = step
                self._line("↻", "yellow", f"{step.id}: {message}; again")
            case events.Failed(step, folder, message):
                self._end(step, "failed")
                self._line("✗", "red", f"{step.id}: {message}")
                self._show_log(folder, message)
            case events.Blocked(step, by):
                self._waiting.pop(step.id, None)
                self._move(step, "blocked")
                self._waits[step.id] = self._waits.get(by, by)

    def _say_once_what_is_done(self) -> None:
        if not self._started and (done := self._states["done"]):
            self._say(f"{done} steps are already done", "dim")
        self._started = True

    def _move(self, step: Step, state: str) -> None:
        before = self._where.get(step.id, "waiting")
        self._states[before] -= 1
        self._states[state] += 1
        self._where[step.id] = state

    def _after(self, seconds: float) -> str:
        """Return a step's duration, the number of finished steps, and what was spent so far."""
        self._look_at_money(force=True)
        money = f", {self._money}" if self._money else ""
        done = f"{self._states['done']}/{len(self._steps)}"
        return f"  {duration(seconds)}  ({done}{money})"

    def _look_at_money(self, *, force: bool = False) -> None:
        """Read what was spent since the last time."""
        if self._root is None or not (force or time.monotonic() - self._asked >= _MONEY_SECONDS):
            return
        from mixmerge.evaluation.calls.spending import Spending

        self._spending = self._spending or Spending(self._root)
        dollars = sum(self._spending.by_kind().values())
        self._money = f"${dollars:,.2f} spent" if dollars >= _ONE_CENT else ""
        self._asked = time.monotonic()

    def _line(self, mark: str, colour: str, text: str, dim: str = "") -> None:
        self.console.print(Text.assemble((f"{mark} ", colour), text, (dim, "dim")))

    def _show_log(self, folder: Path, message: str) -> None:
        """Show the end of a failed step's log, and the command to run the step alone."""
        for line in log_tail(folder, _TAIL_LINES):
            if line != message:
                self.console.print(Text(f"  │ {line}", style="dim"), soft_wrap=True)
        if folder.is_dir():
            for text in (f"log: {folder / LOG}", f"alone: mixmerge step {folder}"):
                self.console.print(f"  {text}", highlight=False, soft_wrap=True)

    def _end(self, step: Step, state: str) -> None:
        self._move(step, state)
        self._waiting.pop(step.id, None)
        self._shares.pop(step.id, None)
        task = self._tasks.pop(step.id, None)  # a step that could not start has no log
        if task is not None:
            self._bars.remove_task(task)

    def _update(self) -> None:
        left = sum(
            step.needs.seconds * (1 - self._shares.get(name, 0.0))
            for name, step in self._waiting.items()
        )
        whole = sum(step.needs.seconds for step in self._steps.values())
        speed = self._took / self._expected if self._expected else 1.0
        note = f"about {duration(left * speed / self._workers)} left"
        if not self._started:
            note = "loading libraries"
        self._look_at_money()
        note = f"{note}, {self._money}" if self._money else note
        done = self._states["done"]
        self._bars.update(
            self._whole,
            completed=1 - left / whole if whole else 1.0,
            description=f"[bold]{done}/{len(self._steps)} steps",
            note=note if self._waiting else "",
        )


def log_tail(folder: Path, lines: int) -> list[str]:
    """Return the last lines of a step's log, of its last attempt; empty without a log."""
    try:
        with (folder / LOG).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - 200 * lines))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    found = text.splitlines()
    begun = [place for place, line in enumerate(found) if line.startswith(ATTEMPT)]
    return found[begun[-1] + 1 if begun else 0 :][-lines:]


def show_notes(notes: Iterable[str]) -> None:
    """Print the notes of a command to the standard error, a line each."""
    for note in notes:
        typer.echo(f"note: {one_line(note)}", err=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a message while work is being done; silent when not on a terminal."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    with screen.status(f"[dim]{what}"):
        yield


@contextmanager
def bar(title: str, unit: str = "") -> Iterator[ProgressListener]:
    """Show a bar with the time left for one piece of work; silent when not on a terminal.

    With ``bytes`` it shows the bytes done and the bytes per second.
    """
    start = time.monotonic()
    counts = [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else []
    with _bars(Console(stderr=True), 40, *counts) as bars:
        task = bars.add_task(f"[bold]{title}", total=None, note="")

        def listen(done: float, total: float, what: str) -> None:
            passed = time.monotonic() - start
            left = f", {duration(passed / done * (total - done))} left" if done > 0 else ""
            bars.update(task, completed=done, total=total, note=what + left)

        yield listen
