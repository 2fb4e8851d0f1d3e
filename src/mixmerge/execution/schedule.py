"""Walking a graph of steps: start what can start, keep what is done, stop what cannot go on."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from mixmerge.durable import claimed, holder
from mixmerge.errors import UserError
from mixmerge.execution import events
from mixmerge.execution.engine import LOST, Engine
from mixmerge.execution.environment import environment
from mixmerge.execution.status import StatusFile
from mixmerge.execution.step import Step, in_order, needed_for
from mixmerge.execution.store import FAILURE, LOCK, Store, note, read_progress
from mixmerge.files import explained_disk_errors, full_disk, no_room, read_object

ATTEMPTS = 3
"""How often a step is started that passing faults stop."""

_SHORTEST_POLL_SECONDS = 0.002
_LONGEST_POLL_SECONDS = 0.1
_PAUSE_SECONDS = 0.5
"""Before the second attempt of a step; doubled before each further one."""
_HELD_SECONDS = 10.0
"""Until a step is started again that another process is running; it waits for the lock as well."""
_DYING_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
"""For the lock of a driver that has just been killed."""


@dataclass
class Outcome:
    """What became of a run."""

    done: dict[str, Path] = field(default_factory=dict)
    """Step id to folder."""
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Step id to exit code and message."""
    blocked: list[str] = field(default_factory=list)
    ran: int = 0
    """Steps that ran now; the others were reused."""


@dataclass
class _Ready:
    """A step whose inputs are done."""

    step: Step
    key: str
    attempts: int = 0
    not_before: float = 0.0
    """Of the monotonic clock."""


@dataclass
class _Running:
    """A step that was started."""

    ready: _Ready
    folder: Path
    handle: Any


class _Walk:
    """The state of one walk: steps go from waiting to ready to running to the outcome."""

    def __init__(
        self,
        steps: Sequence[Step],
        store: Store,
        engine: Engine,
        tell: events.Listener,
        attempts: int,
    ) -> None:
        self.waiting = {step.id: step for step in in_order(steps)}
        self.ready: dict[str, _Ready] = {}
        self.running: dict[str, _Running] = {}
        self.outcome = Outcome()
        self._parents = {id_: set(step.inputs.values()) for id_, step in self.waiting.items()}
        self._store, self._engine, self._tell = store, engine, tell
        self._attempts = attempts
        self._passed_on: dict[str, str] = {}
        self._news = True

    @property
    def unstarted(self) -> bool:
        """Whether there are steps that could still be started."""
        return bool(self.waiting or self.ready)

    def advance(self, *, start: bool) -> bool:
        """Do what can be done now; return whether anything changed."""
        ended = self._collect()
        if not start:
            return ended
        if self._news:
            self._news = False
            self._find_ready()
        return self._start_ready() or ended or self._news

    def stop(self) -> None:
        """Stop what runs."""
        for running in self.running.values():
            self._engine.stop(running.handle)

    def _find_ready(self) -> None:
        # In order of the graph, so that a chain of finished steps is passed in one go.
        lost = {*self.outcome.failed, *self.outcome.blocked}
        for step in list(self.waiting.values()):
            parents = self._parents[step.id]
            if not lost.isdisjoint(parents):
                del self.waiting[step.id]
                self.outcome.blocked.append(step.id)
                lost.add(step.id)
                self._tell(events.Blocked(step, min(parents & lost)))
            elif all(parent in self.outcome.done for parent in parents):
                del self.waiting[step.id]
                self._reuse_or_queue(step)

    def _reuse_or_queue(self, step: Step) -> None:
        try:
            key = self._store.key(step, self._passed_on)
        except UserError as error:
            self._fail(step, self._store.root / step.kind / step.name, 2, str(error))
            return
        record = self._store.record(step, key)
        if record is None:
            self.ready[step.id] = _Ready(step, key)
        else:
            self._done(step, key, record)
            self._tell(events.Reused(step, record))

    def _start_ready(self) -> bool:
        now = time.monotonic()
        started = False
        for ready in list(self.ready.values()):
            if ready.not_before <= now and self._engine.room_for(ready.step.needs):
                del self.ready[ready.step.id]
                self._start(ready)
                started = True
        return started

    def _start(self, ready: _Ready) -> None:
        step, folder = ready.step, self._store.folder(ready.step, ready.key)
        try:
            self._store.place(step, ready.key, self.outcome.done)
            handle = self._engine.start(folder, step.needs)
        except UserError as error:
            self._fail(step, folder, 2, str(error))
            return
        ready.attempts += 1
        self.running[step.id] = _Running(ready, folder, handle)
        self._tell(events.Started(step, folder))

    def _collect(self) -> bool:
        ended = False
        for running in list(self.running.values()):
            code = self._engine.poll(running.handle)
            if code is None:
                self._report_progress(running)
            else:
                ended = True
                del self.running[running.ready.step.id]
                self._settle(running, code)
        return ended

    def _settle(self, running: _Running, code: int) -> None:
        ready, step = running.ready, running.ready.step
        record = self._store.record(step, ready.key)
        if record is not None:
            self.outcome.ran += 1
            self._done(step, ready.key, record)
            self._tell(events.Finished(step, record))
            return
        code, message = _failure(running.folder, code)
        # Done without a record: a shared file system may show the record a moment later.
        passing = code < 0 or code in (0, LOST)
        if passing and (other := _other(running.folder)):
            # A job that a queue started twice, or a person: the step is being done, and not by us.
            ready.attempts -= 1
            ready.not_before = time.monotonic() + _HELD_SECONDS
            self.ready[step.id] = ready
            self._tell(events.Retried(step, f"another process is running it ({other})"))
            return
        if passing and ready.attempts < self._attempts:
            ready.not_before = time.monotonic() + _PAUSE_SECONDS * 2 ** (ready.attempts - 1)
            self.ready[step.id] = ready
            self._tell(events.Retried(step, message))
            return
        tried = f"; tried {ready.attempts} times" if ready.attempts > 1 else ""
        self._fail(step, running.folder, code if code in (1, 2) else 1, message + tried)

    def _done(self, step: Step, key: str, record: dict[str, Any]) -> None:
        self._news = True
        self.outcome.done[step.id] = self._store.folder(step, key)
        self._passed_on[step.id] = str(record["output"]) if step.by_output else key

    def _fail(self, step: Step, folder: Path, code: int, message: str) -> None:
        self._news = True
        self.outcome.failed[step.id] = (code, message)
        self._tell(events.Failed(step, folder, message))

    def _report_progress(self, running: _Running) -> None:
        now = read_progress(running.folder)
        if now is not None:
            self._tell(
                events.Progressed(running.ready.step, now["done"], now["total"], now["what"])
            )


def run(
    steps: Sequence[Step],
    store: Store,
    engine: Engine,
    listener: events.Listener = events.ignore,
    only: Iterable[str] | None = None,
    *,
    attempts: int = ATTEMPTS,
    begin: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run steps in an order that respects their inputs, reusing what is done.

    A failed step stops what depends on it and nothing else. A step that a passing fault stops
    (its process was killed, its worker was lost, the network failed) is started again, in all
    at most ``attempts`` times. With the ids of ``only`` some steps, those and what they need are
    run. ``begin`` is called when the folder is ours, before anything starts.

    Raises:
        SpecError: the graph is wrong; nothing was started.
        ResourceError: another process runs steps in this folder.
        KeyboardInterrupt: Ctrl-C was pressed: once, and what ran has finished, or twice.
    """
    if only is not None:
        wanted = needed_for(only, {step.id: step for step in steps})
        steps = [step for step in steps if step.id in wanted]
    steps = in_order(steps)
    with explained_disk_errors(store.root):
        store.root.mkdir(parents=True, exist_ok=True)
    with claimed(store.root / LOCK, "study", patience=_PATIENCE_SECONDS) as last:
        begin()
        note(store.root, "run", environment=environment(), steps=len(steps), after=str(last or ""))
        status = StatusFile(store.root, steps)

        def tell(event: events.Event) -> None:
            status(event)
            listener(event)

        walk = _Walk(steps, store, engine, tell, attempts)
        end: events.End = "broken"
        try:
            end = _walk_to_the_end(walk, tell)
        except KeyboardInterrupt:
            end = "interrupted"
            raise
        finally:
            walk.stop()
            tell(events.Ended(end))
    if end == "interrupted":
        raise KeyboardInterrupt
    return walk.outcome


def _walk_to_the_end(walk: _Walk, tell: events.Listener) -> events.End:
    idle = _SHORTEST_POLL_SECONDS
    told = False
    with _counted_interrupts() as interrupts:
        while walk.running or (walk.unstarted and not interrupts.pressed):
            interrupts.check()
            if interrupts.pressed and not told:
                told = True
                tell(events.Stopping(len(walk.running)))
            if walk.advance(start=not interrupts.pressed):
                idle = _SHORTEST_POLL_SECONDS
            else:
                time.sleep(idle)
                idle = min(idle * 1.5, _LONGEST_POLL_SECONDS)
    if walk.unstarted:
        return "interrupted"
    return "failed" if walk.outcome.failed else "done"


class _Interrupts:
    """Counts how often Ctrl-C was pressed."""

    pressed = 0

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed twice.

        The signal handler has raised it already, wherever the main thread happened to be; in a
        destructor or a callback of the system it is printed and lost, and the run would go on.
        """
        if self.pressed > 1:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed += 1
        if self.pressed > 1:
            signal.default_int_handler(number, frame)


@contextmanager
def _counted_interrupts() -> Iterator[_Interrupts]:
    """Count Ctrl-C instead of raising at the first, unless somebody else handles it already."""
    interrupts = _Interrupts()
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts._note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _other(folder: Path) -> str:
    """Say which other process runs the step in a folder; one that was killed may need to die."""
    if holder(folder / LOCK):
        time.sleep(_DYING_SECONDS)
    return holder(folder / LOCK)


def _failure(folder: Path, code: int) -> tuple[int, str]:
    """Return the exit code and the reason that a failed step left."""
    left = read_object(folder / FAILURE)
    if "message" in left and isinstance(left.get("code"), int):
        return left["code"], str(left["message"])
    if no_room(folder):  # not even for a reason
        return 2, str(full_disk(folder))
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return code, f"the process ended without a word ({how})"
