"""The engines by name: the one place where `local`, `slurm` and `ray` are told apart."""

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.execution.engine import Engine
from mixmerge.execution.helpers import missing_extra
from mixmerge.execution.local import LocalEngine
from mixmerge.execution.slurm_spec import SlurmSpec

ENGINES = ("local", "slurm", "ray")

_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


def engine_by_name(
    name: str,
    entry: str,
    *,
    workers: int | None = None,
    preload: Sequence[str] = (),
    slurm: SlurmSpec | None = None,
) -> Engine:
    """Return an engine, ready to start steps.

    Args:
        name: One of `ENGINES`.
        entry: ``module:attribute`` of the mapping from kinds to handlers, for the local engine; on
            a cluster ``mixmerge step`` finds its own.
        workers: Cores in use on this machine; None: all.
        preload: Modules that the local engine loads before the first step.
        slurm: Where in the SLURM cluster.

    Raises:
        SpecError: there is no such engine.
        ResourceError: its optional packages are not installed, or there is no cluster.
    """
    cpus = workers or os.cpu_count() or 1
    if name == "local":
        return LocalEngine(entry, cpus=cpus, gpus=_gpus(), preload=preload)
    try:
        if name == "slurm":
            from mixmerge.execution.slurm_engine import SlurmEngine

            return SlurmEngine(slurm or SlurmSpec())
        if name == "ray":
            from mixmerge.execution.ray_engine import RayEngine

            return RayEngine(cpus=cpus)
    except ModuleNotFoundError as error:
        raise missing_extra(name, error) from error
    raise SpecError(f"--engine {name}: there is no such engine; there are {', '.join(ENGINES)}.")


def _gpus() -> list[str]:
    """Name the CUDA devices that are ours, without loading a CUDA library into this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number, _ in enumerate(_NVIDIA_GPUS.glob("*"))]
    devices = [device.strip() for device in visible.split(",")]
    # CUDA reads the list up to the first that is none; "-1" is how to hide all.
    return list(takewhile(lambda device: device and not device.startswith("-"), devices))
