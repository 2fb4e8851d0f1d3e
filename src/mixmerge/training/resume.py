"""Resume from the last checkpoint, with smaller batches after running out of memory."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from mixmerge import files
from mixmerge.errors import DeviceMemoryError, ResourceError
from mixmerge.training.spec import TrainPlacement, TrainSpec

_STATE = "trainer_state.json"
_ROWS = "rows_at_once.json"


def claim(folder: Path, identity: str) -> None:
    """Prepare the folder: remove what another training or an interruption left in it."""
    owner = folder / "identity"
    if not owner.is_file() or owner.read_text(encoding="utf-8") != identity:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_text(owner, identity)
    _, kept = latest(folder)
    for checkpoint in folder.glob("checkpoint-*"):
        if _step(checkpoint) != kept:
            shutil.rmtree(checkpoint)


def latest(folder: Path) -> tuple[Path | None, int]:
    """Return the newest complete checkpoint and its step; (None, 0) if there is none."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    if not whole:
        return None, 0
    newest = max(whole, key=_step)
    return newest, _step(newest)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _is_whole(checkpoint: Path) -> bool:
    # The trainer writes this file after all others of a checkpoint.
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and state.get("global_step") == _step(checkpoint)


def with_fewer_rows(
    placement: TrainPlacement, spec: TrainSpec, ranks: int | None, error: DeviceMemoryError
) -> TrainPlacement:
    """Return a placement with half the rows per device, and more gradient accumulation.

    An odd number of rows becomes its largest divisor below half, so the global batch is unchanged.
    ``ranks`` is the number of processes; None is the placement's.

    Raises:
        ResourceError: the objective cannot be computed from fewer rows.
    """
    rows, _ = placement.accumulation(spec.batch_size, ranks)
    least = spec.least_rows
    fewer = _part_of(rows, rows // 2, least)
    if fewer is None:
        what = "a single row" if least == 1 else f"{rows} rows, and `{spec.method}` needs {least}"
        raise ResourceError(
            f"A device has too little memory for {what} ({error}). Set "
            "`activation_checkpointing: true`, shard with `fsdp: {}`, lower `max_length`, or train "
            "an `adapter`."
        ) from error
    return placement.model_copy(update={"per_device_batch": fewer})


def remember(checkpoints: Path, identity: str, placement: TrainPlacement) -> None:
    """Save the number of rows that fit on a device beside the checkpoints."""
    content = {"identity": identity, "rows": placement.per_device_batch}
    with suppress(FileNotFoundError):  # several ranks may write the same at the same moment
        files.write_json(checkpoints / _ROWS, content)


def remembered(
    checkpoints: Path, identity: str, placement: TrainPlacement, batch_size: int, ranks: int | None
) -> TrainPlacement:
    """Return the placement with at most as many rows per device as `remember` saved.

    A larger number becomes its largest divisor that fits, so the global batch is unchanged. What
    was saved for another identity is ignored.

    Raises:
        SpecError: the global batch cannot be split over these processes.
    """
    path = checkpoints / _ROWS
    noted = files.read_json(path) if path.is_file() else {}
    if noted.get("identity") != identity:
        return placement
    rows, _ = placement.accumulation(batch_size, ranks)
    fits = _part_of(rows, min(rows, noted["rows"]))
    return placement.model_copy(update={"per_device_batch": fits})


def _part_of(rows: int, most: int, least: int = 1) -> int | None:
    """Return the largest number from ``least`` to ``most`` that divides the rows of a device."""
    return next((n for n in range(most, least - 1, -1) if rows % n == 0), None)
