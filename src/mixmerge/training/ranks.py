"""The devices and processes of a training, started here with torchrun or by a launcher."""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Literal

from mixmerge import errors, files
from mixmerge.errors import ResourceError, SpecError, UserError
from mixmerge.execution import child
from mixmerge.execution.environment import cpu_threads
from mixmerge.progress import Progress
from mixmerge.training.rewards import Reward
from mixmerge.training.spec import TrainJob, TrainPlacement, TrainSpec

_PROGRESS = "mixmerge-progress "
_TAIL = 3000


def launched_ranks() -> int | None:
    """Return the number of processes that a launcher (torchrun, SLURM) started, if one did."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    return int(os.environ["WORLD_SIZE"])


def is_first_rank() -> bool:
    """Return whether this process writes the files."""
    return launched_ranks() is None or os.environ["RANK"] == "0"


def wait_for_all() -> None:
    """Wait until every process has called this."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def on_cpu(placement: TrainPlacement) -> bool:
    """Return whether the training runs without a GPU."""
    import torch

    return placement.device == "cpu" or not torch.cuda.is_available()


def check_devices(placement: TrainPlacement) -> None:
    """Check that this machine has what the placement asks for.

    Raises:
        ResourceError: fewer GPUs than devices, or several machines and no cluster.
        SpecError: FSDP without a GPU, which the Trainer would silently ignore.
    """
    import torch

    if placement.nodes > 1 and launched_ranks() is None:
        raise ResourceError(
            f"`nodes` is {placement.nodes}, but this is a single machine. Run the study with "
            "`--engine slurm` or `ray`, or set `nodes: 1`; the result stays the same."
        )
    if on_cpu(placement):
        if placement.fsdp is not None:
            raise SpecError("`fsdp` needs GPUs, and none is used here. Remove it.")
    elif launched_ranks() is None and placement.devices > torch.cuda.device_count():
        raise ResourceError(
            f"`devices` is {placement.devices}, this machine has {torch.cuda.device_count()} "
            "GPU(s). Lower `devices`, or set `device: cpu`; the result stays the same."
        )


def pin_one_gpu(placement: TrainPlacement) -> None:
    """Make one GPU visible to a single process: with several the Trainer refuses to train."""
    import torch

    if launched_ranks() is None and not on_cpu(placement) and torch.cuda.device_count() > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def precision_of(spec: TrainSpec, *, cpu: bool) -> Literal["float32", "bfloat16"]:
    """Return the precision to train in."""
    import torch

    if spec.precision != "auto":
        return spec.precision
    return "bfloat16" if not cpu and torch.cuda.is_bf16_supported() else "float32"


def threads(placement: TrainPlacement) -> AbstractContextManager[None]:
    """Set the number of torch's CPU threads for a block of code."""
    return cpu_threads(placement.threads or (1 if on_cpu(placement) else None))


def launch(job: TrainJob, out: Path, progress: Progress, reward: Reward | None = None) -> None:
    """Run a training in ``job.placement.devices`` processes of this machine and wait for it.

    Raises:
        UserError: a process raised it, with the same class.
        RuntimeError: a process failed otherwise; the message has the end of the output.
    """
    with tempfile.TemporaryDirectory(prefix="mixmerge-train-") as folder:
        job_file, error_file = Path(folder, "job.json"), Path(folder, "error.json")
        log_file = Path(folder, "log")
        files.write_json(job_file, job.model_dump(mode="json"))
        # Not `accelerate launch`, which starts a single process on a CPU.
        # As a child module, torchrun and its ranks end with this process.
        command = [sys.executable, "-m", child.__name__, "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(job.placement.devices)]
        command += ["-m", "mixmerge.training.worker", str(job_file), str(out), str(error_file)]
        if reward is not None:
            command += [reward.factory, json.dumps(reward.arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.placement.threads or 1)}
        with (
            log_file.open("w", encoding="utf-8") as log,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            ) as process,
        ):
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if line.startswith(_PROGRESS):
                        progress(*json.loads(line.removeprefix(_PROGRESS)))
                code = process.wait()
            finally:
                process.terminate()
        if error_file.is_file():
            left = files.read_json(error_file)
            raise getattr(errors, left["class"], RuntimeError)(left["message"])
        if code:
            tail = log_file.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
            raise RuntimeError(f"{out}: torchrun ended with code {code}:\n{tail}")


def report_progress(done: float, total: float, what: str) -> None:
    """Report progress to the process that launched this one."""
    print(_PROGRESS + json.dumps([done, total, what]), flush=True)  # noqa: T201


def report_error(error: Exception, path: Path) -> None:
    """Leave an error for the process that launched this one; the first error wins."""
    content = {"class": type(error).__name__, "message": str(error)}
    if not isinstance(error, UserError):
        content = {"class": "RuntimeError", "message": "".join(traceback.format_exception(error))}
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as stream:
        json.dump(content, stream)
