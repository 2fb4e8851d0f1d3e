"""Behaviour of writing files of a model."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ResourceError
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import NewTensor
from mixmerge.merging.output.shards import ShardFile, lay_out
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.write import write_shards


def no_more_files(*_: Any, **__: Any) -> Any:
    """Refuse to open anything, as the system does in the end."""
    raise OSError(errno.EMFILE, "Too many open files")


def test_too_many_files_of_the_output_are_no_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says which option makes them fewer."""
    (shard,) = lay_out([NewTensor("t", "F32", (1,))], 1)
    monkeypatch.setattr(Path, "open", no_more_files)
    with pytest.raises(ResourceError, match=r"partial: too many files .*larger --shard-size"):
        ShardFile(tmp_path, shard, print)


def test_too_many_files_are_no_fault_of_an_input(
    pair: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input is whole; the output's files are what can be fewer."""
    model = Checkpoint("a", pair["a"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_more_files)
        with pytest.raises(ResourceError, match=r"safetensors: too many .*larger --shard-size"):
            _ = model.fingerprint


def test_a_file_that_is_not_there_in_the_end_is_an_error(
    pair: dict[str, Path], recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes a folder without weights for a model, whatever took them away."""
    monkeypatch.setattr(ShardFile, "finish", ShardFile.close)
    plan = plan_merge(recipe("linear", pair))
    shards = lay_out([row.output for row in plan.rows], 1 << 30)
    with pytest.raises(ResourceError, match=r"model\.safetensors: was written and has disappeared"):
        write_shards(plan, shards, tmp_path)
    plan.close()
