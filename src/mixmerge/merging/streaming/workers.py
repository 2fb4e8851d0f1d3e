"""Threads for a merge: small tensors in parallel, or all threads on one large tensor."""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.progress import Progress

LARGE = 5 << 20
"""From this many elements on, all threads work on one tensor."""

TINY = 1 << 16
"""Up to this many elements, tensors are processed by a single thread: operations on them take less
time than switching threads."""

HELD_OF_LARGE, HELD_OF_SMALL = 1 << 27, 1 << 26
"""Most bytes of inputs kept in memory between two passes: of one large tensor, and of all small
ones together. More does not pay: new pages cost more than rereading from the page cache."""

Work = Callable[[ParallelMap, int], None]
"""Processes one tensor, given a parallel map and the bytes of inputs to keep in memory."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_NEWS = 500
"""Most progress reports of one merge."""


class Workers:
    """A thread pool, and one more thread for background work.

    Nothing is started after the ``with`` block ends, for whatever reason it ends.
    """

    def __init__(self, threads: int | None) -> None:
        """Prepare threads; None: one per processor."""
        keep_freed_memory()
        self._threads = threads or processors()
        self._pool = ThreadPoolExecutor(self._threads, "merge")
        self._background = ThreadPoolExecutor(1, "flush")
        self._jobs: deque[Future[Any]] = deque()

    def run(self, tensors: Iterable[tuple[int, Work]]) -> None:
        """Process tensors, given with their numbers of elements.

        Tiny ones run one after the other, small ones in parallel, then large ones on all threads.
        """
        todo = list(tensors)
        share = HELD_OF_SMALL // self._threads
        tiny = [work for size, work in todo if size <= TINY]
        if tiny:
            self._jobs.append(self._pool.submit(_in_a_row, tiny, share))
        for _, work in filter(lambda tensor: TINY < tensor[0] < LARGE, todo):
            self._jobs.append(self._pool.submit(work, map, share))
        for _, work in filter(lambda tensor: tensor[0] >= LARGE, todo):
            self._check()
            work(self._pool.map, HELD_OF_LARGE)

    def later(self, function: Callable[..., Any], *args: Any) -> None:
        """Run functions in the background, one after the other."""
        self._jobs.append(self._background.submit(function, *args))

    def _check(self) -> None:
        """Raise the first error of a finished job, without waiting.

        Other threads add and finish jobs meanwhile, so each job is looked at once and removed only
        when its own result has been read.
        """
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            if job.done():
                job.result()
            else:
                self._jobs.append(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all jobs; raise the first error."""
        try:
            while self._jobs and kind is None:
                self._jobs.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._background.shutdown(cancel_futures=True)


def _in_a_row(works: Iterable[Work], hold: int) -> None:
    for work in works:
        work(map, hold)


class Counter:
    """Counts bytes from any thread, and reports progress now and then."""

    def __init__(self, progress: Progress, total: int, done: int = 0) -> None:
        """Begin at ``done`` of ``total`` bytes."""
        self._progress, self._total, self._done = progress, total, done
        self._told = done
        self._lock = threading.Lock()
        progress(done, total, "merging")

    def add(self, count: int) -> None:
        """Count written bytes."""
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


def keep_freed_memory() -> None:
    """Ask the C library to reuse the memory of freed arrays.

    Otherwise every temporary array of a tile is returned to the system and requested again page by
    page, which costs more than the arithmetic and makes threads wait for each other.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 26)
    mallopt(_M_TRIM_THRESHOLD, 1 << 28)
