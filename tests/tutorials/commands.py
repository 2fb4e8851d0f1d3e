"""The command line as a newcomer uses it: another process, its exit code, and what it prints."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 240.0


def begin(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start ``mixmerge`` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "mixmerge", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; return its exit code and all that it printed."""
    out, error = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out + error


def mixmerge(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command to its end."""
    return end(begin(folder, *arguments, **environment))


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running command brings about."""
    stop = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert process.poll() is None, end(process)
        assert time.monotonic() < stop
        time.sleep(0.05)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Do as the terminal does."""
    process.send_signal(signal.SIGINT)
