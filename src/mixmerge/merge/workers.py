"""Threads for a merge: many small tensors side by side, or all threads on one large one."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mixmerge.progress import Progress

LARGE = 1 << 22
"""From this many elements on, all threads work on one tensor."""

_NEWS = 500
"""How often at most a listener hears of progress in one merge."""


class Workers:
    """A pool of threads, and one more for what can wait."""

    def __init__(self, threads: int | None) -> None:
        """Prepare threads; None: one for each processor."""
        self._pool = ThreadPoolExecutor(threads or processors(), "merge")
        self._background = ThreadPoolExecutor(1, "flush")
        self._jobs: list[Future[Any]] = []

    def spread(self, function: Callable[[range], Any], items: Iterable[range]) -> Iterator[Any]:
        """Apply a function to items on all threads; results in order. See `tensor.Spread`."""
        return self._pool.map(function, items)

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a function on one of the threads."""
        self._jobs.append(self._pool.submit(function, *args))

    def later(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a function in the background, one after the other."""
        self._jobs.append(self._background.submit(function, *args))

    def check(self) -> None:
        """Raise the first error of what has ended, without waiting."""
        ended = [job for job in self._jobs if job.done()]
        self._jobs = [job for job in self._jobs if not job.done()]
        for job in ended:
            job.result()

    def wait(self) -> None:
        """Wait for everything that was started; raise the first error."""
        while self._jobs:
            jobs, self._jobs = self._jobs, []
            for job in jobs:
                job.result()

    def close(self) -> None:
        """Start nothing more, and wait for what runs."""
        self._pool.shutdown(cancel_futures=True)
        self._background.shutdown(cancel_futures=True)


@contextmanager
def workers(threads: int | None) -> Iterator[Workers]:
    """Yield threads that start nothing more once the block ends, whatever ended it."""
    pool = Workers(threads)
    try:
        yield pool
        pool.wait()
    finally:
        pool.close()


class Counter:
    """Counts bytes from any thread, and tells a listener now and then."""

    def __init__(self, progress: Progress, total: int, done: int = 0) -> None:
        """Begin at ``done`` of ``total`` bytes."""
        self._progress, self._total, self._done = progress, total, done
        self._told = done
        self._lock = threading.Lock()
        progress(done, total, "merging")

    def add(self, count: int) -> None:
        """Count bytes that were written."""
        with self._lock:
            self._done += count
            if self._done - self._told > self._total / _NEWS or self._done >= self._total:
                self._told = self._done
                self._progress(self._done, self._total, "merging")


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
