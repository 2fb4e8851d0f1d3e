"""The local engine: steps run in parallel in processes of this machine, within declared resources.

Steps are forked from a server process that has imported the heavy libraries once, so a step starts
in milliseconds and still has a clean state. A step leads its own process group and watches its
driver: when the driver dies, even suddenly, the step and its children end too.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from mixmerge.errors import MixmergeError
from mixmerge.execution.engine import LOST, EngineSpec
from mixmerge.execution.environment import CORES, GPUS, ONE_THREAD, environment
from mixmerge.execution.step import Needs
from mixmerge.execution.store import log_to
from mixmerge.execution.worker import handlers_from, run_group, write_failure

_GRACE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_SERVER_GONE = 255
"""multiprocessing's exit code if the fork server was killed; the process may still run."""
_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
_OWN_GROUPS = Path("/proc/self/cgroup")
_LIMITS = {
    "": (Path("/sys/fs/cgroup"), "memory.max"),
    "memory": (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
}
"""Where Linux's control groups keep limits of memory, by controller; version 2 names none."""


@dataclass
class _Running:
    process: ForkServerProcess
    needs: Needs
    devices: tuple[str, ...]


class LocalEngine:
    """Runs steps on this machine.

    Args:
        entry: ``module:attribute`` of the mapping from kinds to handlers.
        cpus: most cores in use by all steps together.
        gpus: CUDA devices to use, named as in ``CUDA_VISIBLE_DEVICES``. A step that needs more gets
            all; without GPUs, steps run on the cores.
        memory_gb: most memory (1e9 bytes) of steps that declare their needs; default: the
            machine's.
        preload: modules that the server imports before the first step.
    """

    def __init__(
        self,
        entry: str,
        *,
        cpus: int,
        gpus: Sequence[str] = (),
        memory_gb: float | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self._entry = entry
        self._cpus = cpus
        self._gpus = tuple(gpus)
        self._devices = list(gpus)
        self._running: list[_Running] = []
        self._memory_gb = physical_memory_gb() if memory_gb is None else memory_gb
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])

    def room_for(self, needs: Needs) -> int:
        """Return how many processes fit beside those that run; an idle engine always takes one."""
        busy = [running.needs for running in self._running]
        fits = [(self._cpus - sum(other.cpus for other in busy)) // needs.cpus]
        if needs.memory_gb:
            free = self._memory_gb - sum(other.memory_gb for other in busy)
            fits.append(int(free // needs.memory_gb))
        if share := self._share(needs):
            fits.append(len(self._devices) // share)
        return max(min(fits), 0 if busy else 1)

    def start(self, folder: Path, needs: Needs) -> _Running:
        """Start the step in a folder; its output goes to the log there."""
        count = self._share(needs)
        devices, self._devices = tuple(self._devices[:count]), self._devices[count:]
        limits = {CORES: str(min(needs.cpus, self._cpus)), GPUS: str(count)}
        if devices:
            limits["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        arguments = (self._entry, str(folder), limits, environment())
        running = _Running(self._started(arguments), needs, devices)
        self._running.append(running)
        return running

    def poll(self, handle: _Running) -> int | None:
        """Return the exit code of a step that ended (negative: killed by that signal), or None."""
        code = handle.process.exitcode
        if code == _SERVER_GONE:
            self._kill(handle, signal.SIGKILL)
            code = LOST
        if code is not None and handle in self._running:
            self._running.remove(handle)
            self._devices = sorted([*self._devices, *handle.devices], key=self._gpus.index)
        return code

    def stop(self, handle: _Running) -> None:
        """Terminate the step's process group; kill it after a few seconds."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if handle.process.exitcode is None:
                self._kill(handle, sign)
                handle.process.join(_GRACE_SECONDS)
        self.poll(handle)

    @staticmethod
    def _kill(handle: _Running, sign: signal.Signals) -> None:
        if handle.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(handle.process.pid, sign)

    def _started(self, arguments: tuple[Any, ...]) -> ForkServerProcess:
        """Start a process, retrying if the fork server was just killed.

        A killed server closes its socket a moment before its end is visible, and multiprocessing
        only then starts another one.
        """
        tries = int(_GRACE_SECONDS / _PAUSE_SECONDS)
        with _main_hidden(), _set(ONE_THREAD):
            for left in reversed(range(tries)):
                process = self._context.Process(target=_child, args=arguments)
                try:
                    process.start()
                    break
                except (ConnectionError, EOFError):
                    if not left:
                        raise
                    time.sleep(_PAUSE_SECONDS)
        return process

    def _share(self, needs: Needs) -> int:
        return min(needs.gpus, len(self._gpus))

    def close(self) -> None:
        """Stop all running steps."""
        for running in list(self._running):
            self.stop(running)


class LocalSpec(EngineSpec):
    """This machine; there are no settings."""

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> LocalEngine:
        """Return an engine with all visible GPUs."""
        return LocalEngine(entry, cpus=cpus, gpus=_gpus(), preload=preload)


def _gpus() -> list[str]:
    """Return the visible CUDA devices, without loading a CUDA library into this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number, _ in enumerate(_NVIDIA_GPUS.glob("*"))]
    devices = [device.strip() for device in visible.split(",")]
    # CUDA ignores everything after the first invalid device; "-1" hides all.
    return list(takewhile(lambda device: device and not device.startswith("-"), devices))


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the main script again in every step."""
    main = vars(sys.modules["__main__"])
    known: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.update(dict.fromkeys(known))
    try:
        yield
    finally:
        main.update(known)


@contextlib.contextmanager
def _set(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the fork server while it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def physical_memory_gb() -> float:
    """Return the memory that this process may use, in gigabytes (1e9 bytes).

    It is the machine's or, where that is less, the limit of its container or control group.
    """
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *_memory_limits()]) / 1e9


def _memory_limits() -> Iterator[int]:
    """Yield the limits of this process's control groups and of those around them, in bytes."""
    groups = _OWN_GROUPS.read_text() if _OWN_GROUPS.is_file() else ""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        for folder, file in (_LIMITS[name] for name in controllers.split(",") if name in _LIMITS):
            own = folder / path.lstrip("/")
            for limit in (group / file for group in (own, *own.parents)):
                text = limit.read_text().strip() if limit.is_file() else ""
                if text.isdigit():
                    yield int(text)


def _child(entry: str, folder: str, limits: dict[str, str], ran_with: dict[str, Any]) -> None:
    os.setsid()
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(limits)
    try:
        log_to(Path(folder))
        code = run_group(Path(folder), handlers_from(entry), ran_with)
    except MixmergeError as error:  # the step could not begin
        code = write_failure(Path(folder), error)
    sys.exit(code)


def _die_with_the_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
