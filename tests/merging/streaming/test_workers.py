"""Behaviour of the threads of a merge."""

from concurrent.futures import Future

import pytest

from mixmerge.merging.streaming.workers import LARGE, Workers


class EndsAfterALook(Future[None]):
    """Work that still runs when it is first asked, and has failed right after."""

    asked = False

    def done(self) -> bool:
        """Say whether it has ended."""
        ended = super().done()
        if not self.asked:
            self.asked = True
            self.set_exception(ValueError("broken tensor"))
        return ended


def _nothing(*_: object) -> None:
    pass


def _work_beside(failing: Future[None], monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(1) as pool:
        monkeypatch.setattr(pool._background, "submit", lambda *_: failing)
        pool.later(_nothing)
        pool.run([(LARGE, _nothing)])


def test_an_error_between_two_looks_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that fails while others are looked at stops the merge as any other does."""
    with pytest.raises(ValueError, match="broken tensor"):
        _work_beside(EndsAfterALook(), monkeypatch)
