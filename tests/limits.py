"""Limits on time and memory, for tests with inputs that might exhaust either."""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def limits(seconds: int, room: int) -> Iterator[Callable[[], object]]:
    """Refuse large allocations, and stop what takes too long; yield what starts the clock again.

    Args:
        seconds: Of one case.
        room: Bytes that may be asked for beyond what the process has at the start.
    """

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"a case took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    signal.alarm(seconds)
    try:
        yield lambda: signal.alarm(seconds)
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)
