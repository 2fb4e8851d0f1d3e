"""The model trained from, and the disk trained to."""

import errno
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ModelError, ResourceError
from mixmerge.files import write_json
from mixmerge.records import ModelFolder
from mixmerge.training import parent


def test_a_missing_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    """What is written like a path is a path."""
    for name in (str(tmp_path / "none"), "./none", "~/none-such-model", "a/b/c"):
        with pytest.raises(ModelError, match="no such folder, and not a hub name"):
            parent.find_model(name)


def test_an_unknown_hub_name_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the hub cannot give is a mistake of the model's name, offline too."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="no-such-org/no-such-model: no such folder, and it"):
        parent.find_model("no-such-org/no-such-model")


def test_quantized_weights_are_not_trained(tiny: Any, tmp_path: Path) -> None:
    """A model that is stored in 4 bits is refused, and the message says what to name instead."""
    folder = ModelFolder(tiny.make_model(tmp_path / "model", "llama"))
    stored = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    write_json(folder.path / "config.json", {**folder.config, "quantization_config": stored})
    with pytest.raises(ModelError, match=r"quantized.*model that it was quantized from"):
        parent.check_architecture(ModelFolder(folder.path))


def test_a_disk_too_small_is_said_before_training(tmp_path: Path) -> None:
    """The needed and the free space are compared before any work."""
    with pytest.raises(ResourceError, match=r"need about 1000000000\.00 GB"):
        parent.check_disk(tmp_path / "not" / "yet", 10**18)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail] No space left on device"),
    ],
)
def test_a_full_disk_is_one_message_whoever_meets_it(tmp_path: Path, error: Exception) -> None:
    """Plain files, torch and safetensors put a full disk differently; we do not."""
    with (
        pytest.raises(ResourceError, match="disk is full"),
        parent.explained_full_disk(tmp_path),
    ):
        raise error


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    """Only a full disk is explained as one."""
    with pytest.raises(RuntimeError, match="shape mismatch"), parent.explained_full_disk(tmp_path):
        raise RuntimeError("shape mismatch")


def test_the_saved_type_is_the_parents(cohere: Path) -> None:
    """`auto` keeps the parent's type."""
    folder = ModelFolder(cohere)
    assert parent.saved_dtype(folder, "auto") == "float32"
    assert parent.saved_dtype(folder, "bfloat16") == "bfloat16"
