"""What a step runs with: limits on threads; and for its record versions, revision, machine."""

import contextlib
import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Variables of every step's process, on any engine. A step that uses more threads says so itself:
libraries that each take every core make one another wait."""

CORES = "MIXMERGE_CORES"
"""Environment variable of a step: how many threads it may compute with. Not set by SLURM's engine,
which gives every step the cores that it asks for."""

_RECORDED = ("mixmerge", "torch", "transformers", "trl", "peft", "datasets", "numpy", "safetensors")


@cache
def environment() -> dict[str, Any]:
    """Return host, system, cores, Python, versions of packages and the git revision, as JSON."""
    versions = {}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "git": _git_commit(),
    }


def _git_commit() -> str | None:
    """Return the commit of the source checkout that runs, with ``+`` when it has changes."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
