"""Going on from the last checkpoint of a killed training."""

import json
import shutil
from pathlib import Path

from mixmerge import files

_STATE = "trainer_state.json"


def claim(folder: Path, identity: str) -> None:
    """Make the folder ready: what another training or a kill left in it is removed."""
    owner = folder / "identity"
    if not owner.is_file() or owner.read_text(encoding="utf-8") != identity:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_text(owner, identity)
    _, kept = latest(folder)
    for checkpoint in folder.glob("checkpoint-*"):
        if _step(checkpoint) != kept:
            shutil.rmtree(checkpoint)


def latest(folder: Path) -> tuple[Path | None, int]:
    """Return the newest whole checkpoint and its step; (None, 0) where there is none."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    if not whole:
        return None, 0
    newest = max(whole, key=_step)
    return newest, _step(newest)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _is_whole(checkpoint: Path) -> bool:
    # The trainer writes its state after all other files of a checkpoint.
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and state.get("global_step") == _step(checkpoint)
