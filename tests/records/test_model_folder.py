"""Model folders that are refused before anything is loaded."""

import json
from pathlib import Path

import pytest

from mixmerge.errors import ModelError
from mixmerge.records import ModelFolder


@pytest.mark.parametrize("shard", ["../other.safetensors", "/etc/passwd", "a/b.safetensors", 3])
def test_an_index_names_files_of_its_own_folder_only(tmp_path: Path, shard: object) -> None:
    """Weights are never read from outside of the folder that is named, hashed and recorded."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "model.safetensors"}}))
    assert ModelFolder(tmp_path).path == tmp_path
    index.write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(ModelError, match="which is no file of this folder"):
        ModelFolder(tmp_path)
