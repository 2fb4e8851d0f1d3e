"""Calls run in a thread of their own, which ends with whoever started it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.evaluation.endpoint_server import Answer, Serve, says

from mixmerge.evaluation.calls.endpoint import in_own_thread

ROOT = Path(__file__).parents[3]


def test_results_and_errors_come_back() -> None:
    """What the coroutine returns or raises, the caller gets; the thread is gone afterwards."""

    async def fail() -> None:
        raise ValueError("no luck")

    assert in_own_thread(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(ValueError, match="no luck"):
        in_own_thread(fail())
    assert "calls" not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_ends_it_and_keeps_what_was_answered(serve: Serve, tmp_path: Path) -> None:
    """An interrupted program ends at once, as interrupted; its journal goes on from there."""
    arrived = threading.Event()
    release = threading.Event()

    def behave(text: str, _attempt: int) -> Answer:
        if "question 0" in text:
            return says('{"reasons": "", "verdict": "A"}')
        arrived.set()
        release.wait(30)
        return says("late")

    server = serve(behave)
    command = [sys.executable, "-m", "tests.evaluation.calls.judging_client", server.url]
    with subprocess.Popen(
        [*command, str(tmp_path), "20"], cwd=ROOT, stderr=subprocess.PIPE
    ) as client:
        assert arrived.wait(60)
        while not (tmp_path / "calls.jsonl").read_bytes().count(b"\n"):
            assert client.poll() is None
        os.kill(client.pid, signal.SIGINT)
        _, errors = client.communicate(timeout=30)
    release.set()
    assert errors.strip().endswith(b"KeyboardInterrupt")
    kept = (tmp_path / "calls.jsonl").read_bytes().splitlines()
    assert 1 <= len(kept) <= 2
    assert not (tmp_path / "verdicts.jsonl").exists()
