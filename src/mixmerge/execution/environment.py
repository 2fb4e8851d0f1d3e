"""A step's environment: limits on threads, and versions, revision and machine for its record."""

import contextlib
import os
import platform
import socket
import subprocess
from collections.abc import Iterator
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
"""Variables of every step's process, on any engine. Libraries that each use every core slow each
other down, so steps that need more threads set them themselves."""

CORES = "MIXMERGE_CORES"
"""Environment variable of a step: how many threads it may use. Not set by SLURM, which gives every
step the cores that it asks for."""

GPUS = "MIXMERGE_GPUS"
"""Environment variable of a step: how many devices it was given, on all its nodes together. A
step's needs cannot say so: on a machine without devices, it runs without them."""

RANK_OF_OURS = "MIXMERGE_RANK"
"""Environment variable of a step that an engine runs as several ranks. Without it, a launcher's
variables such as ``RANK`` come from the user's shell and are not meant for the step."""

_LAUNCHER = frozenset({
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK", "CROSS_RANK", "MASTER_ADDR"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "CROSS_SIZE"),
    *("MASTER_PORT", "ROLE_NAME", "LOCAL_SIZE", "NNODES", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NODEID"),
})  # fmt: skip
_LAUNCHERS = (
    *("TORCHELASTIC_", "ACCELERATE_", "FSDP_", "OMPI_COMM_WORLD_", "PMI_", "PMIX_", "MPIRUN_"),
    *("MV2_COMM_WORLD_", "I_MPI_", "HYDRA_", "HYDI_", "PALS_", "FLUX_TASK_", "HOROVOD_", "JSM_"),
)
"""Prefixes of the variables that torchrun, accelerate, MPI and others set for each process."""

_RECORDED = ("mixmerge", "torch", "transformers", "trl", "peft", "datasets", "numpy", "safetensors")


def forget_launcher() -> None:
    """Remove a launcher's variables from this process's environment.

    A step that inherited them would wait for ranks that nobody started, or believe it is one.
    """
    for name in [*os.environ]:
        if name in _LAUNCHER or name.startswith(_LAUNCHERS):
            del os.environ[name]


@contextlib.contextmanager
def cpu_threads(wanted: int | None) -> Iterator[None]:
    """Set the number of torch's CPU threads; None: leave it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def environment() -> dict[str, Any]:
    """Return host, system, cores, Python, package versions and git revision, as JSON."""
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
    """Return the source checkout's commit, with ``+`` if it has changes."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None
