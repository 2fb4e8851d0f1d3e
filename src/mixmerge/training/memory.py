"""Going on with fewer rows at once when the memory of a device does not suffice."""

import gc
from contextlib import suppress
from pathlib import Path

from mixmerge import files
from mixmerge.errors import DeviceMemoryError, ResourceError
from mixmerge.training.spec import TrainPlacement

_FILE = "rows_at_once.json"


def with_fewer_rows(
    placement: TrainPlacement, batch_size: int, ranks: int | None, error: DeviceMemoryError
) -> TrainPlacement:
    """Return a placement with half the rows per device; accumulation makes up for the rest.

    Rows that cannot be halved become their largest divisor, so the global batch stays as it is.
    ``ranks`` counts the processes; None: as the placement says.

    Raises:
        ResourceError: a device holds one row already.
    """
    rows, _ = placement.accumulation(batch_size, ranks)
    if rows == 1:
        raise ResourceError(
            f"A device has too little memory for a single row ({error}). Set "
            "`activation_checkpointing: true`, shard with `fsdp: {}`, lower `max_length`, or train "
            "an `adapter`."
        ) from error
    fewer = next(n for n in range(rows // 2, 0, -1) if rows % n == 0)
    return placement.model_copy(update={"per_device_batch": fewer})


def remember(checkpoints: Path, identity: str, placement: TrainPlacement) -> None:
    """Note beside the checkpoints how many rows fit, for whoever goes on from them."""
    content = {"identity": identity, "rows": placement.per_device_batch}
    with suppress(FileNotFoundError):  # several ranks may write the same at the same moment
        files.write_json(checkpoints / _FILE, content)


def remembered(
    checkpoints: Path, identity: str, placement: TrainPlacement, batch_size: int, ranks: int | None
) -> TrainPlacement:
    """Return the placement with no more rows per device than fitted when a training was stopped.

    The placement may have changed since: fewer rows than those noted by `remember` stay as they
    are, and more become their largest divisor that fits, so the global batch stays as it is. Notes
    of a training of another identity do not count.

    Raises:
        SpecError: the global batch cannot be split over these processes.
    """
    path = checkpoints / _FILE
    if not path.is_file():
        return placement
    noted = files.read_json(path)
    if noted["identity"] != identity:
        return placement
    rows, _ = placement.accumulation(batch_size, ranks)
    fitting = max(n for n in range(1, min(rows, noted["rows"]) + 1) if rows % n == 0)
    return placement.model_copy(update={"per_device_batch": fitting})


def release() -> None:
    """Give back what a training that was cut off holds on the devices."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
