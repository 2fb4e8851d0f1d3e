"""Processes are measured whole."""

import sys
from pathlib import Path

from benchmarks.process import floor, measure


def test_a_process_is_measured(tmp_path: Path) -> None:
    """Exit code, output, folder, time and both kinds of memory are those of the process."""
    code = (
        "import os, time; held = b'x' * 80_000_000; print(os.getcwd()); time.sleep(0.3); "
        "print('ends badly'); print('^'); raise SystemExit(3)"
    )
    taken = measure([sys.executable, "-c", code], tmp_path)
    assert taken.code == 3
    assert taken.output.splitlines()[0] == str(tmp_path.resolve())
    assert taken.last_line == "ends badly"
    assert 0.3 < taken.seconds < 30
    assert 0 < taken.cpu_seconds < 10
    assert 80e6 < taken.peak_anonymous < 200e6
    assert taken.peak_rss >= taken.peak_anonymous


def test_a_killed_process_has_failed() -> None:
    """A process that a signal ended has an exit code other than zero, and says it."""
    taken = measure(["sh", "-c", "kill -9 $$"])
    assert taken.code == -9
    assert taken.last_line == "exit code -9"


def test_hub_is_out_of_reach(tmp_path: Path) -> None:
    """Programs are told to stay off the network."""
    taken = measure(["sh", "-c", "echo offline $HF_HUB_OFFLINE"], tmp_path)
    assert taken.output == "offline 1"


def test_the_floor_leaves_nothing(tmp_path: Path) -> None:
    """The floor takes time and removes what it wrote; a missing input is an error."""
    (tmp_path / "in").write_bytes(b"x" * 3_000_000)
    for sync in (False, True):
        assert floor([tmp_path / "in"], tmp_path / "out", 2_500_000, sync=sync) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
