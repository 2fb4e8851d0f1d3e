"""Running a graph of steps: start those that are ready, reuse those that are done."""

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
"""Most attempts at a step that fails for passing reasons."""

_SHORTEST_POLL_SECONDS = 0.002
_LONGEST_POLL_SECONDS = 0.1
_PAUSE_SECONDS = 0.5
"""Before the second attempt of a step; doubled before each further one."""
_HELD_SECONDS = 10.0
"""Before a step that another process is running is tried again."""
_DYING_SECONDS = 0.2
_PATIENCE_SECONDS = 5.0
"""To wait for the lock of a driver that was just killed."""


@dataclass
class Outcome:
    """The result of a run."""

    done: dict[str, Path] = field(default_factory=dict)
    """Step id to folder."""
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Step id to exit code and message."""
    blocked: list[str] = field(default_factory=list)
    ran: int = 0
    """Number of steps that ran; the others were reused."""


@dataclass
class _Work:
    """A step whose inputs are done: ready, or running."""

    step: Step
    key: str
    folder: Path
    attempts: int = 0
    not_before: float = 0.0
    """On the monotonic clock."""
    handle: Any = None
    """The engine's, while the step runs."""
    shared: bool = False
    """Whether other steps of its group run in the same process."""


class _Walk:
    """The state of a run: steps go from waiting to ready to running to the outcome."""

    def __init__(
        self,
        steps: Sequence[Step],
        store: Store,
        engine: Engine,
        tell: events.Listener,
        attempts: int,
    ) -> None:
        self.waiting = {step.id: step for step in in_order(steps)}
        self.ready: dict[str, _Work] = {}
        self.running: dict[str, _Work] = {}
        self.outcome = Outcome()
        self._parents = {id_: set(step.inputs.values()) for id_, step in self.waiting.items()}
        self._store, self._engine, self._tell = store, engine, tell
        self._attempts = attempts
        self._passed_on: dict[str, str] = {}
        self._news = True

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
        """Stop all running steps."""
        for handle, _ in self._processes():
            self._engine.stop(handle)

    def _find_ready(self) -> None:
        # In topological order, so that a chain of finished steps is handled in one pass.
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
            self.ready[step.id] = _Work(step, key, self._store.folder(step, key))
        else:
            self._done(step, key, record)
            self._tell(events.Reused(step, record))

    def _start_ready(self) -> bool:
        now = time.monotonic()
        started = False
        for work in list(self.ready.values()):
            if work.step.id not in self.ready or work.not_before > now:
                continue
            group = self._group(work, now)
            room = self._engine.room_for(work.step.needs) if group else 0
            if room:
                for each in group:
                    del self.ready[each.step.id]
                for first in range(min(room, len(group))):
                    self._start(group[first::room])
                started = True
        return started

    def _group(self, work: _Work, now: float) -> list[_Work]:
        """Return the steps to start together with a ready one, none if more of them are to come.

        A step that is tried again runs alone: if it kills its process, no other is lost with it.
        """
        name = work.step.together
        if not name or work.attempts:
            return [work]
        group = [
            each
            for each in self.ready.values()
            if each.step.together == name and not each.attempts and each.not_before <= now
        ]
        more = any(step.together == name for step in self.waiting.values())
        others = self.running or len(self.ready) > len(group)
        return [] if more and others else group

    def _start(self, group: list[_Work]) -> None:
        placed: list[_Work] = []
        for work in reversed(group):  # the first in the process names the others
            if self._place(work, [each.folder for each in placed]):
                placed.insert(0, work)
        if not placed:
            return
        first = placed[0]
        try:
            handle = self._engine.start(first.folder, first.step.needs)
        except UserError as error:
            for work in placed:
                self._fail(work.step, work.folder, 2, str(error))
            return
        for work in placed:
            work.handle, work.shared = handle, len(placed) > 1
            work.attempts += 1
            self.running[work.step.id] = work
            self._tell(events.Started(work.step, work.folder))

    def _place(self, work: _Work, then: Sequence[Path] = ()) -> bool:
        """Write a step's ``step.json``; return whether that worked."""
        try:
            self._store.place(work.step, work.key, self.outcome.done, then)
        except UserError as error:
            self._fail(work.step, work.folder, 2, str(error))
            return False
        return True

    def _processes(self) -> list[tuple[Any, list[_Work]]]:
        """Return the handle of each running process, with its steps."""
        found: dict[int, tuple[Any, list[_Work]]] = {}
        for work in self.running.values():
            found.setdefault(id(work.handle), (work.handle, []))[1].append(work)
        return list(found.values())

    def _collect(self) -> bool:
        ended = False
        for handle, group in self._processes():
            code = self._engine.poll(handle)
            for left, work in zip(reversed(range(len(group))), group, strict=True):
                # The last step of a shared process waits for its end.
                if code is not None or (left and self._store.record(work.step, work.key)):
                    ended = True
                    del self.running[work.step.id]
                    self._settle(work, LOST if work.shared and (code or 0) > 0 else code or 0)
                elif now := read_progress(work.folder):
                    what = now["done"], now["total"], now["what"]
                    self._tell(events.Progressed(work.step, *what))
        return ended

    def _settle(self, work: _Work, code: int) -> None:
        step = work.step
        record = self._store.record(step, work.key)
        if record is not None:
            self.outcome.ran += 1
            self._done(step, work.key, record)
            self._tell(events.Finished(step, record))
            return
        code, message = _failure(work.folder, code)
        # Exit code 0 without a record: a shared file system may show the record a moment later.
        passing = code < 0 or code in (0, LOST)
        if passing and (other := _other(work.folder)):
            # Started twice, by a queue or a person: another process is doing the work.
            work.attempts -= 1
            work.not_before = time.monotonic() + _HELD_SECONDS
            self.ready[step.id] = work
            self._tell(events.Retried(step, f"another process is running it ({other})"))
            return
        if passing and work.attempts < self._attempts:
            work.not_before = time.monotonic() + _PAUSE_SECONDS * 2 ** (work.attempts - 1)
            self.ready[step.id] = work
            self._tell(events.Retried(step, message))
            return
        tried = f"; tried {work.attempts} times" if work.attempts > 1 else ""
        self._fail(step, work.folder, code if code in (1, 2) else 1, message + tried)

    def _done(self, step: Step, key: str, record: dict[str, Any]) -> None:
        self._news = True
        self.outcome.done[step.id] = self._store.folder(step, key)
        self._passed_on[step.id] = str(record["output"]) if step.by_output else key

    def _fail(self, step: Step, folder: Path, code: int, message: str) -> None:
        self._news = True
        self.outcome.failed[step.id] = (code, message)
        self._tell(events.Failed(step, folder, message))


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
    """Run steps in the order of their inputs, reusing finished ones.

    A failed step only stops the steps that depend on it. A step that fails for a passing reason
    (its process was killed, its worker was lost, the network failed) is retried, at most
    ``attempts`` times in all. With ``only``, a set of ids, those steps and their inputs are run.
    ``begin`` is called when the run folder is locked, before anything starts.

    Raises:
        SpecError: the graph is wrong; nothing was started.
        ResourceError: another process runs steps in this folder.
        KeyboardInterrupt: Ctrl-C was pressed: once, and running steps have finished, or twice.
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

        tell(events.Begun(steps))
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
        while walk.running or ((walk.waiting or walk.ready) and not interrupts):
            if len(interrupts) > 1:
                # The signal handler has raised it already, but in a destructor or a callback Python
                # prints the exception and continues.
                raise KeyboardInterrupt
            if interrupts and not told:
                told = True
                tell(events.Stopping(len(walk.running)))
            if walk.advance(start=not interrupts):
                idle = _SHORTEST_POLL_SECONDS
            else:
                time.sleep(idle)
                idle = min(idle * 1.5, _LONGEST_POLL_SECONDS)
    if walk.waiting or walk.ready:
        return "interrupted"
    return "failed" if walk.outcome.failed else "done"


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C and only raise at the second, unless someone else handles it already."""
    interrupts: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if len(interrupts) > 1:
            signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _other(folder: Path) -> str:
    """Return which other process runs the step in a folder, after time for a killed one to end."""
    if holder(folder / LOCK):
        time.sleep(_DYING_SECONDS)
    return holder(folder / LOCK)


def _failure(folder: Path, code: int) -> tuple[int, str]:
    """Return the exit code and the reason of a failed step."""
    left = read_object(folder / FAILURE)
    if "message" in left and isinstance(left.get("code"), int):
        return left["code"], str(left["message"])
    if no_room(folder):  # not even for failure.json
        return 2, str(full_disk(folder))
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return code, f"the process ended without a message ({how})"
