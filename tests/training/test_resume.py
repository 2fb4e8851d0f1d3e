"""Checkpoints of a killed training."""

import json
from pathlib import Path

from mixmerge.training import resume


def checkpoint(folder: Path, step: int, state: str | None = None) -> None:
    """Write what counts as a checkpoint."""
    (folder / f"checkpoint-{step}").mkdir(parents=True)
    text = state if state is not None else json.dumps({"global_step": step})
    (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(text)


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    """A checkpoint that was being written when the kill came is left out and removed."""
    resume.claim(tmp_path, "me")
    checkpoint(tmp_path, 9)
    checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 11, state='{"global_st')
    (tmp_path / "checkpoint-12").mkdir()
    assert resume.latest(tmp_path) == (tmp_path / "checkpoint-10", 10)
    resume.claim(tmp_path, "me")
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-10"]


def test_checkpoints_of_another_training_are_removed(tmp_path: Path) -> None:
    """A folder that another training left is never gone on from."""
    resume.claim(tmp_path, "other settings")
    checkpoint(tmp_path, 10)
    resume.claim(tmp_path, "me")
    assert resume.latest(tmp_path) == (None, 0)
