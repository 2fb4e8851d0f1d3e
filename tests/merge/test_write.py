"""Behaviour of writing files of a model."""

from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ResourceError
from mixmerge.merge.output.shards import ShardFile, lay_out
from mixmerge.merge.planning.plan import plan_merge
from mixmerge.merge.write import write_shards


def test_a_file_that_is_not_there_in_the_end_is_an_error(
    pair: dict[str, Path], recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes a folder without weights for a model, whatever took them away."""
    monkeypatch.setattr(ShardFile, "finish", ShardFile.close)
    plan = plan_merge(recipe("linear", pair))
    shards = lay_out([row.output for row in plan.rows], 1 << 30)
    with pytest.raises(ResourceError, match=r"model\.safetensors: was written and is gone"):
        write_shards(plan, shards, tmp_path)
    plan.close()
