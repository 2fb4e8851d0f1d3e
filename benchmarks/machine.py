"""What a measurement depends on: machine, versions, settings."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_VERSIONS = (
    "import importlib.metadata as m; print(*(f'{p} {m.version(p)}' for p in ('mergekit', 'torch')))"
)


def describe(mergekit: Path | None) -> dict[str, Any]:
    """Return machine and versions, for the head of a file of results.

    Args:
        mergekit: the folder of mergekit's programs, where it takes part.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _first("/proc/cpuinfo", "model name"),
            "processors": len(os.sched_getaffinity(0)),
            "memory": _first("/proc/meminfo", "MemTotal"),
            "system": platform.platform(),
        },
        "versions": {
            "mixmerge": importlib.metadata.version("mixmerge"),
            "commit": _output(["git", "describe", "--always", "--dirty"]),
            "python": platform.python_version(),
            "mergekit": _output([str(mergekit / "python"), "-c", _VERSIONS]) if mergekit else "",
        },
        "environment": {
            name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ
        },
    }


def save(file: Path | None, about: dict[str, Any], key: str, records: Sequence[Any]) -> None:
    """Write results so far: benchmarks take hours, and what was measured is kept.

    Args:
        file: JSON to write; None: nothing is written.
        about: of `describe`.
        key: what the records are called.
        records: dataclasses.
    """
    if file is not None:
        content = {**about, key: [dataclasses.asdict(record) for record in records]}
        file.write_text(json.dumps(content, indent=1) + "\n")


def _first(path: str, key: str) -> str:
    """Return the first value of a key in a file of ``key : value`` lines."""
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
