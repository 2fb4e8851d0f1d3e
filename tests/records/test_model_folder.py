"""Model folders, before anything is loaded."""

import json
from pathlib import Path

import pytest

from mixmerge.errors import ModelError
from mixmerge.records import ModelFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that looks like a model in two files."""
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "one.safetensors"):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
@pytest.mark.parametrize("file", ["../outside.safetensors", "/etc/passwd", "..", "a/b", 3])
def test_an_index_names_no_file_outside_of_its_folder(
    file: object, name: str, folder: Path
) -> None:
    """Loaders would follow it, and the folder's fingerprint would not see what they load."""
    (folder / name).write_text(json.dumps({"weight_map": {"w": "one.safetensors"}}))
    ModelFolder(folder)
    (folder / name).write_text(json.dumps({"weight_map": {"w": file}}))
    with pytest.raises(ModelError, match=rf"{name}: tensor 'w': .* is not a file name in the fold"):
        ModelFolder(folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"weight_map": []}', "no JSON"])
def test_an_index_of_nothing_is_refused(content: str, folder: Path) -> None:
    """It is damaged, or of another program."""
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        ModelFolder(folder)


def test_weights_are_counted_over_all_files(folder: Path) -> None:
    """The count needs the headers only, and says which file is damaged."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 4)), "b": np.zeros(())}, folder / "one.safetensors")
    save_file({"c": np.zeros((2, 2, 2), dtype=np.int8)}, folder / "two.safetensors")
    assert ModelFolder(folder).weights == 12 + 1 + 8
    (folder / "two.safetensors").write_bytes(b"not one")
    with pytest.raises(ModelError, match=r"two\.safetensors: not a valid safetensors file"):
        _ = ModelFolder(folder).weights
