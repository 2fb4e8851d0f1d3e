"""Whole processes and plain files, measured: seconds and memory.

Keep the measuring process small: on Linux a child's maximum RSS starts at what its parent held when
it was started. Whatever needs much memory (making models, figures) runs elsewhere.
"""

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
"""Bytes read or written at once by the floor."""


@dataclass(frozen=True)
class Measured:
    """What one process took."""

    seconds: float
    """Wall clock, from start to end of the process."""
    cpu_seconds: float
    """Of all processors together; other programs hardly change it."""
    peak_rss: int
    """Largest resident memory in bytes, as the kernel counted it, with mapped files."""
    peak_anonymous: int
    """Largest memory in bytes without mapped files (the page cache can drop those at any time);
    sampled every 10 ms."""
    code: int
    """Exit code."""
    output: str
    """The last lines that the process printed."""

    @property
    def last_line(self) -> str:
        """The last line that was printed and says something."""
        lines = [line.strip() for line in self.output.splitlines() if re.search("[a-z]{3}", line)]
        return lines[-1] if lines else f"exit code {self.code}"


def measure(command: Sequence[str | Path], folder: Path | None = None) -> Measured:
    """Run a command to its end, away from any network.

    Args:
        command: program and arguments.
        folder: where to run it; None: here.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200"},
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
        output.seek(0)
        printed = output.read().decode(errors="replace")
    return Measured(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
        sampler.peak,
        process.returncode,
        printed[-2000:].strip(),
    )


class _Sampler(threading.Thread):
    """Follows the anonymous memory of a process."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._status = Path(f"/proc/{pid}/status")
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.01):
            try:
                lines = self._status.read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                return
            for line in lines:
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)

    def stop(self) -> None:
        self._done.set()
        self.join()


def floor(inputs: Iterable[Path], out: Path, size: int, *, sync: bool) -> float:
    """Read every input once and write a file once, with nothing in between.

    Args:
        inputs: files to read.
        out: file to write; it is removed afterwards, outside of the measured time.
        size: bytes to write.
        sync: whether the file must be on the disk (fsync), not only in the page cache.

    Returns:
        Seconds.
    """
    block = bytearray(BLOCK)
    started = time.perf_counter()
    for path in inputs:
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass
    with out.open("wb", buffering=0) as stream:
        for start in range(0, size, BLOCK):
            stream.write(memoryview(block)[: size - start])
        if sync:
            os.fsync(stream.fileno())
    seconds = time.perf_counter() - started
    out.unlink()
    return seconds
