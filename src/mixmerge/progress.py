"""How long work says how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """A listener for the progress of one piece of work."""

    def __call__(self, done: float, total: float, what: str) -> None:
        """Hear that ``done`` of ``total`` units are finished; ``what`` names the activity."""


def silent(done: float, total: float, what: str) -> None:
    """Listen to nothing: the default wherever a `Progress` is taken."""


def named(progress: Progress, name: str) -> Progress:
    """Return a listener that passes everything on under the name of a part of the work."""

    def listen(done: float, total: float, what: str) -> None:
        progress(done, total, f"{name}: {what}")

    return listen
