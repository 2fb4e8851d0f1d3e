"""Ask a local endpoint for thousands of verdicts, as whole processes: ours and other packages.

    python -m venv JUDGES && JUDGES/bin/pip install alpaca_eval==0.6.6 inspect_ai==0.3.285
    python -m benchmarks.judge --others JUDGES --json benchmarks/results/judge.json

The endpoint (`benchmarks.judge_server`) answers every call after 200 ms; it has one processor and
the asking process another. Calls in flight over latency is the ideal rate: 500 a second at 100. The
rate is verdicts over the seconds from the first call to the last verdict on disk; processor time
and memory are of the whole process, Python's start included. ``aiohttp`` only sends and receives:
the floor. Close other programs: both processors are needed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe, save
from benchmarks.process import measure

LATENCY = 0.2
OURS, OTHERS = ("aiohttp", "mixmerge"), ("inspect_ai", "alpaca_eval")


@dataclass(frozen=True)
class Asked:
    """One process that asked for verdicts."""

    driver: str
    calls: int
    in_flight: int
    read: int
    """Verdicts that it read."""
    seconds: float
    """From the first call to the last verdict."""
    process_seconds: float
    """Of the whole process."""
    cpu_seconds: float
    peak_rss: int
    """Bytes."""
    received: int
    """Calls that the server counted."""
    most_at_once: int
    """As the server saw it."""
    load: float
    """Programs that wanted a processor in the minute before, on average."""

    @property
    def row(self) -> tuple[str, ...]:
        """The line of a table."""
        rate = self.read / self.seconds
        return (
            self.driver,
            f"{self.calls:,}",
            f"{rate:.0f}",
            f"{rate * LATENCY / self.in_flight:.0%}",
            f"{self.cpu_seconds / self.calls * 1000:.2f}",
            f"{self.peak_rss / 1e6:.0f}",
            f"{self.most_at_once}",
            f"{self.load:.1f}",
        )


HEADINGS = (
    *("program", "calls", "verdicts a second", "of the ideal", "CPU ms a call"),
    *("memory MB", "most at once", "load before"),
)


@contextmanager
def server(latency: float) -> Iterator[str]:
    """Run the endpoint on the last processor; yield its address."""
    command = [*_on(-1), sys.executable, "-m", "benchmarks.judge_server", "--latency", str(latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


def _on(which: int) -> list[str]:
    """Return the start of a command that runs on one processor."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", str(processors[which])]


def ask(python: Path, driver: str, address: str, calls: int, in_flight: int) -> Asked:
    """Run one driver and check that it did what it says."""
    load = os.getloadavg()[0]
    _counted(address)
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [*_on(0), python, "-m", "benchmarks.judge_drivers", driver]
        command += ["--url", f"{address}/v1", "--out", folder]
        command += ["--calls", str(calls), "--in-flight", str(in_flight)]
        done = measure(command)
    counted = _counted(address)
    if done.code:
        raise SystemExit(f"{driver} ended with code {done.code}:\n{done.output}")
    said = json.loads(done.last_line)
    if said["read"] != calls or counted["calls"] < calls:
        raise SystemExit(f"{driver}: {said['read']} verdicts, {counted['calls']} calls: {calls}?")
    return Asked(
        driver,
        calls,
        in_flight,
        said["read"],
        said["seconds"],
        done.seconds,
        done.cpu_seconds,
        done.peak_rss,
        counted["calls"],
        counted["most_at_once"],
        load,
    )


def _counted(address: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{address}/count") as response:  # noqa: S310
        found: dict[str, int] = json.load(response)
    return found


def table(rows: Sequence[Asked]) -> str:
    """Return the measurements as a Markdown table."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *(row.row for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Run every driver in turn, ours also for its memory; print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="of ours and the floor, in turn")
    parser.add_argument("--others", type=Path, help="virtual environment of the other packages")
    parser.add_argument("--others-calls", type=int, default=500, help="they are slower")
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 20_000], help="calls")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    own = Path(sys.executable)
    jobs = [(own, driver, given.calls) for _ in range(given.repeats) for driver in OURS]
    jobs += [(own, f"mixmerge{how}", n) for n in given.memory for how in ("", "_streamed")]
    if given.others is not None:
        python = given.others / "bin" / "python"
        jobs += [(python, driver, given.others_calls) for driver in OTHERS]
    about = describe(None)
    rows: list[Asked] = []
    with server(LATENCY) as address:
        for python, driver, calls in jobs:
            rows.append(ask(python, driver, address, calls, given.in_flight))
            save(given.json, about, "asked", rows)
            print(" ".join(rows[-1].row), file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
