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

RANK_OF_OURS = "MIXMERGE_RANK"
"""Environment variable of a step that an engine runs as several ranks: only there do the variables
of launchers mean the step. Anywhere else they are left over from the shell that started us."""

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
"""How the variables begin that torchrun, accelerate, MPI and the like give to each process."""

_RECORDED = ("mixmerge", "torch", "transformers", "trl", "peft", "datasets", "numpy", "safetensors")


def forget_launcher() -> None:
    """Take the variables by which a launcher numbers its processes out of this one's environment.

    A step that inherited them would wait for ranks that nobody started, or believe itself one.
    """
    for name in [*os.environ]:
        if name in _LAUNCHER or name.startswith(_LAUNCHERS):
            del os.environ[name]


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
