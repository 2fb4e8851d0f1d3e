"""Walking a graph of steps: start what can start, keep what is done, stop what cannot go on."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from mixmerge.execute.engine import Engine
from mixmerge.execute.graph import in_order, needed_for
from mixmerge.execute.step import Step
from mixmerge.execute.store import FAILURE, Store, read_progress
from mixmerge.files import read_json

_POLL_SECONDS = 0.02


class Listener(Protocol):
    """Hears what happens to the steps of a run."""

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Hear that a step was done before."""

    def started(self, step: Step, folder: Path) -> None:
        """Hear that a step runs now."""

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Hear how far a running step is."""

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Hear that a step is done."""

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Hear that a step failed."""

    def blocked(self, step: Step, by: str) -> None:
        """Hear that a step cannot run because the step ``by`` failed."""


class Unheard:
    """A listener that hears nothing."""

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Ignore it."""

    def started(self, step: Step, folder: Path) -> None:
        """Ignore it."""

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Ignore it."""

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Ignore it."""

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Ignore it."""

    def blocked(self, step: Step, by: str) -> None:
        """Ignore it."""


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


class _Walk:
    """The state of one walk."""

    def __init__(self, steps: Sequence[Step], store: Store, engine: Engine, listener: Listener):
        self.waiting = {step.id: step for step in in_order(steps)}
        self.store, self.engine, self.listener = store, engine, listener
        self.passed_on: dict[str, str] = {}
        self.running: dict[str, tuple[Step, str, Path, Any]] = {}
        self.outcome = Outcome()

    def advance(self) -> bool:
        """Do what can be done now; return whether anything changed."""
        return bool(self._collect()) | bool(self._start_ready())

    def _start_ready(self) -> int:
        changed = 0
        for step in list(self.waiting.values()):
            parents = set(step.inputs.values())
            lost = [p for p in parents if p in self.outcome.failed or p in self.outcome.blocked]
            if lost:
                del self.waiting[step.id]
                self.outcome.blocked.append(step.id)
                self.listener.blocked(step, min(lost))
                changed += 1
            elif parents <= self.outcome.done.keys():
                changed += self._reuse_or_start(step)
        return changed

    def _reuse_or_start(self, step: Step) -> int:
        key = self.store.key(step, self.passed_on)
        record = self.store.record(step, key)
        if record is not None:
            del self.waiting[step.id]
            self._done(step, key, record)
            self.listener.reused(step, record)
            return 1
        if not self.engine.room_for(step.needs):
            return 0
        del self.waiting[step.id]
        folder = self.store.place(step, key, self.outcome.done)
        self.running[step.id] = (step, key, folder, self.engine.start(folder, step.needs))
        self.listener.started(step, folder)
        return 1

    def _collect(self) -> int:
        ended = 0
        for step, key, folder, handle in list(self.running.values()):
            code = self.engine.poll(handle)
            if code is None:
                self._report_progress(step, folder)
                continue
            ended += 1
            del self.running[step.id]
            record = self.store.record(step, key)
            if record is not None:
                self.outcome.ran += 1
                self._done(step, key, record)
                self.listener.finished(step, record)
            else:
                self.outcome.failed[step.id] = _failure(folder, code)
                self.listener.failed(step, folder, self.outcome.failed[step.id][1])
        return ended

    def _done(self, step: Step, key: str, record: dict[str, Any]) -> None:
        self.outcome.done[step.id] = self.store.folder(step, key)
        self.passed_on[step.id] = str(record["output"]) if step.by_output else key

    def _report_progress(self, step: Step, folder: Path) -> None:
        now = read_progress(folder)
        if now is not None:
            self.listener.progressed(step, now["done"], now["total"], now["what"])


def run(
    steps: Sequence[Step],
    store: Store,
    engine: Engine,
    listener: Listener,
    only: Iterable[str] | None = None,
) -> Outcome:
    """Run steps in an order that respects their inputs, reusing what is done.

    A failed step stops what depends on it and nothing else.

    Args:
        steps: The graph.
        store: The run folder.
        engine: Where steps run.
        listener: Who hears about it.
        only: Ids of the steps that are wanted, with what they need; None for all.

    Raises:
        SpecError: the graph is wrong; nothing was started.
    """
    if only is not None:
        wanted = needed_for(only, {step.id: step for step in steps})
        steps = [step for step in steps if step.id in wanted]
    walk = _Walk(steps, store, engine, listener)
    with _interruptible() as check:
        try:
            while walk.waiting or walk.running:
                check()
                if not walk.advance():
                    time.sleep(_POLL_SECONDS)
        finally:
            for _, _, _, handle in walk.running.values():
                engine.stop(handle)
    return walk.outcome


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Yield a check that raises KeyboardInterrupt if Ctrl-C was pressed.

    Python raises it wherever the main thread happens to be; in a destructor or a callback of the
    system it is printed and lost, and the run would go on.
    """
    pressed = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _failure(folder: Path, code: int) -> tuple[int, str]:
    """Return the exit code and the reason that a failed step left."""
    file = folder / FAILURE
    if file.is_file():
        left = read_json(file)
        return int(left["code"]), str(left["message"])
    return 1, f"the process ended without a word (exit code {code})"
