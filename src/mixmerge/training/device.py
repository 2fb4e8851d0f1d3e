"""Which device a training runs on, and how it is used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from mixmerge.errors import ResourceError, SpecError
from mixmerge.training.ranks import launched_ranks
from mixmerge.training.spec import TrainPlacement, TrainSpec


def on_cpu(placement: TrainPlacement) -> bool:
    """Return whether the training runs without a GPU."""
    import torch

    return placement.device == "cpu" or not torch.cuda.is_available()


def check_devices(placement: TrainPlacement) -> None:
    """Check that this machine has what the placement asks for.

    Raises:
        ResourceError: fewer GPUs than devices, or several machines and no cluster.
        SpecError: FSDP without a GPU, which the Trainer would ignore without a word.
    """
    import torch

    if placement.nodes > 1 and launched_ranks() is None:
        raise ResourceError(
            f"`nodes` is {placement.nodes}, and this machine is one. Run the study with "
            "`--engine slurm` or `ray`, or set `nodes: 1`; the result stays the same."
        )
    if on_cpu(placement):
        if placement.fsdp is not None:
            raise SpecError("`fsdp` needs GPUs, none is used here. Leave it out of the placement.")
    elif launched_ranks() is None and placement.devices > torch.cuda.device_count():
        raise ResourceError(
            f"`devices` is {placement.devices}, this machine has {torch.cuda.device_count()} "
            "GPU(s). Lower `devices`, or set `device: cpu`; the result stays the same."
        )


def pin_one_gpu(placement: TrainPlacement) -> None:
    """Show a lone process a single GPU: with several in sight the Trainer refuses to train."""
    import torch

    if launched_ranks() is None and not on_cpu(placement) and torch.cuda.device_count() > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def precision_of(spec: TrainSpec, *, cpu: bool) -> Literal["float32", "bfloat16"]:
    """Return the arithmetic to train in."""
    import torch

    if spec.precision != "auto":
        return spec.precision
    return "bfloat16" if not cpu and torch.cuda.is_bf16_supported() else "float32"


@contextmanager
def threads(placement: TrainPlacement) -> Iterator[None]:
    """Hold torch to the placement's number of CPU threads."""
    import torch

    before = torch.get_num_threads()
    wanted = placement.threads or (1 if on_cpu(placement) else before)
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
