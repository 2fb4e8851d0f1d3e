"""Ctrl-C: the first stops starting, the second stops everything."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Counts how often Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.pressed = 0

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
def counted_interrupts() -> Iterator[Interrupts]:
    """Count Ctrl-C instead of raising at the first, unless somebody else handles it already."""
    interrupts = Interrupts()
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts._note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
