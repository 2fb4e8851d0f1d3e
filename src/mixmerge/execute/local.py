"""The local engine: steps side by side in processes of this machine, within declared resources.

Steps are forked from one server process that has imported the heavy libraries once, so a step
starts in milliseconds and yet begins with clean state. A step leads its own process group and
watches its driver: when the driver dies, however suddenly, the step and its children end too.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from mixmerge.execute.step import Needs
from mixmerge.execute.store import LOG
from mixmerge.execute.worker import handlers_from, run_step

_GRACE_SECONDS = 5.0


@dataclass
class _Running:
    process: ForkServerProcess
    needs: Needs
    devices: tuple[int, ...]


class LocalEngine:
    """Runs steps on this machine.

    Args:
        entry: ``module:attribute`` of the mapping from kinds to handlers.
        cpus: Cores in use at most, by all steps together.
        gpus: CUDA devices in use at most. A step that needs more gets all: without a GPU, steps
            run on the cores.
        preload: Modules the server imports before the first step.
    """

    def __init__(
        self, entry: str, *, cpus: int, gpus: int = 0, preload: Sequence[str] = ()
    ) -> None:
        self._entry = entry
        self._cpus = cpus
        self._gpus = gpus
        self._devices = list(range(gpus))
        self._running: list[_Running] = []
        # One thread per declared core, in every library, before any of them is imported.
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])

    def room_for(self, needs: Needs) -> bool:
        """Say whether enough cores and devices are free; one step always fits an idle engine."""
        if not self._running:
            return True
        busy = sum(running.needs.cpus for running in self._running)
        return busy + needs.cpus <= self._cpus and self._share(needs) <= len(self._devices)

    def start(self, folder: Path, needs: Needs) -> _Running:
        """Start the step in a folder; its output goes to the log there."""
        count = self._share(needs)
        devices, self._devices = tuple(self._devices[:count]), self._devices[count:]
        process = self._context.Process(target=_child, args=(self._entry, str(folder), devices))
        with _main_hidden():
            process.start()
        running = _Running(process, needs, devices)
        self._running.append(running)
        return running

    def poll(self, handle: _Running) -> int | None:
        """Return the exit code of a step that ended (negative: killed by that signal), or None."""
        code = handle.process.exitcode
        if code is not None and handle in self._running:
            self._running.remove(handle)
            self._devices = sorted([*self._devices, *handle.devices])
        return code

    def stop(self, handle: _Running) -> None:
        """Ask the step's process group to end; insist after a few seconds."""
        pid = handle.process.pid
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if pid is not None and handle.process.exitcode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, sign)
                handle.process.join(_GRACE_SECONDS)
        self.poll(handle)

    def _share(self, needs: Needs) -> int:
        return min(needs.gpus, self._gpus)

    def close(self) -> None:
        """Stop every step that still runs."""
        for running in list(self._running):
            self.stop(running)


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the script that called us again in every step."""
    main = sys.modules["__main__"]
    path = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main.__file__ = path


def _child(entry: str, folder: str, devices: tuple[int, ...]) -> None:
    """Run one step in a forked process."""
    os.setsid()
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
    log = os.open(Path(folder) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    sys.exit(run_step(Path(folder), handlers_from(entry)))


def _die_with_the_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
