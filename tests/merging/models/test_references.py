"""What references mean: folders, hub names, adapters."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.references import locate, open_model, parse

TENSORS = {"model.layers.0.q.weight": np.zeros((4, 4), np.float32)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make the hub's cache a folder of the test and the network out of reach; return a writer."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)

    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)

    def write(name: str, revision: str = "main") -> Path:
        repository = cache / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text(COMMIT)
        return repository / "snapshots" / COMMIT

    return write


def adapter_at(folder: Path, **settings: Any) -> Path:
    """Write an adapter for `TENSORS`."""
    folder.mkdir(parents=True)
    module = "base_model.model.model.layers.0.q"
    factors = {f"{module}.lora_{letter}.weight": torch.ones(2, 4) for letter in "A"}
    factors[f"{module}.lora_B.weight"] = torch.ones(4, 2)
    save_file(factors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def element(reference: str) -> float:
    """Open a model and return the first element of its tensor."""
    out = np.empty(4, np.float32)
    open_model("m", reference).source("model.layers.0.q.weight").read(0, out)
    return float(out[0])


def test_a_folder_is_taken_as_it_is(model: Any, tmp_path: Path) -> None:
    """Absolute, relative, and with the form of a hub name: what exists here is not looked up."""
    folder = model("org/name", TENSORS)
    for text in (str(folder), "org/name", "./org/name"):
        assert locate(text).resolve() == folder
        assert open_model("m", text).path.resolve() == folder
    assert tmp_path.is_dir()


def test_a_home_folder_may_be_written_with_a_tilde(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the home folder, as in a shell."""
    folder = model("m", TENSORS)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/m") == folder


@pytest.mark.parametrize(("revision", "text"), [("main", "org/m"), ("v1.0", "org/m@v1.0")])
def test_a_hub_name_is_found_in_the_cache(hub: Any, model: Any, revision: str, text: str) -> None:
    """A model in the cache is used without network, at the revision that is asked for."""
    snapshot = hub("org/m", revision)
    model(str(snapshot), TENSORS)
    assert locate(text) == snapshot
    assert open_model("m", text).path == snapshot


def test_a_hub_model_out_of_reach_is_one_clear_error(hub: Any, model: Any) -> None:
    """The message has the name and what to do; another revision is another model."""
    model(str(hub("org/m")), TENSORS)
    for text in ("org/unknown", "org/m@v2"):
        with pytest.raises(ModelError, match=rf"^{text}: no such folder.*must be in the cache"):
            locate(text)


@pytest.mark.parametrize(
    "text", ["./org/m", "/org/m", "a/b/c", "nothing", "../x", "org/m@", "~/nope"]
)
def test_what_is_no_hub_name_is_not_looked_up(text: str) -> None:
    """A path that does not exist is said to be one."""
    with pytest.raises(ModelError, match="no such folder, and not a hub name"):
        locate(text)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    """A weight file in place of its folder is named."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file; a model is a folder"):
        locate("model.safetensors")


def test_a_model_and_an_adapter_are_one_model(model: Any, hub: Any, tmp_path: Path) -> None:
    """Each part of MODEL+ADAPTER may be a folder or a hub name."""
    model("base", TENSORS)
    model(str(hub("org/base")), TENSORS)
    adapter_at(tmp_path / "lora")
    adapter_at(hub("org/lora", "v2"))
    for text in ("base+lora", "org/base+lora", "base+org/lora@v2", "org/base+org/lora@v2"):
        assert isinstance(open_model("m", text), AdaptedCheckpoint)
        assert element(text) == 2
    assert element("base") == 0


def test_a_folder_whose_name_has_a_plus_wins(model: Any, tmp_path: Path) -> None:
    """A name is split only where it is not itself a folder, and then in the one way that works."""
    model("a", TENSORS)
    adapter_at(tmp_path / "b+c")
    assert parse("a+b+c") == ("a", "b+c")
    folder = model("a+b+c", TENSORS)
    assert parse("a+b+c") == ("a+b+c", None)
    assert open_model("m", "a+b+c").path.resolve() == folder


@pytest.mark.parametrize("text", ["a+", "+b", "a+b", "base+nope", "nope+lora", "+"])
def test_a_part_that_cannot_exist_is_refused(text: str, model: Any, tmp_path: Path) -> None:
    """Both parts of MODEL+ADAPTER must be possible."""
    model("base", TENSORS)
    adapter_at(tmp_path / "lora")
    with pytest.raises(SpecError, match=r"is neither a folder nor `MODEL\+ADAPTER`"):
        open_model("m", text)


def test_several_ways_to_split_are_refused(model: Any, tmp_path: Path) -> None:
    """Nothing is chosen where two splits are possible."""
    model("a", TENSORS)
    model("a+b", TENSORS)
    adapter_at(tmp_path / "c")
    adapter_at(tmp_path / "b+c")
    with pytest.raises(SpecError, match="can be split in several ways"):
        parse("a+b+c")


def test_an_adapter_alone_names_its_model(model: Any, hub: Any, tmp_path: Path) -> None:
    """Its configuration says which folder, or which model of the hub at which revision."""
    folder = model("base", TENSORS)
    model(str(hub("org/base", "v3")), TENSORS)
    adapter_at(tmp_path / "one", base_model_name_or_path=str(folder))
    adapter_at(tmp_path / "two", base_model_name_or_path="org/base", revision="v3")
    assert element("one") == element("two") == 2


@pytest.mark.parametrize("settings", [{}, {"base_model_name_or_path": None}])
def test_an_adapter_without_a_model_is_refused(settings: Any, tmp_path: Path) -> None:
    """The message says how to name the model."""
    adapter_at(tmp_path / "lora", **settings)
    with pytest.raises(ModelError, match="has no `base_model_name_or_path`; write"):
        open_model("m", "lora")


def test_parts_in_the_wrong_place_are_refused(model: Any, tmp_path: Path) -> None:
    """A model is no adapter, and an adapter no model."""
    model("base", TENSORS)
    model("other", TENSORS)
    adapter_at(tmp_path / "lora", base_model_name_or_path="lora2")
    adapter_at(tmp_path / "lora2")
    with pytest.raises(ModelError, match=r"other has no adapter_config\.json"):
        open_model("m", "base+other")
    with pytest.raises(ModelError, match=r"lora is an adapter itself; put a model before"):
        open_model("m", "lora+lora2")
    with pytest.raises(ModelError, match=r"lora2 is an adapter itself; merge it"):
        open_model("m", "lora")


def test_pickled_weights_need_permission(tmp_path: Path) -> None:
    """Without it the message names the flag; with it the model opens."""
    folder = tmp_path / "m"
    folder.mkdir()
    torch.save({"a": torch.ones(3)}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model\.bin\).*`--allow-pickle`"):
        open_model("m", "m")
    assert set(open_model("m", "m", allow_pickle=True).tensors) == {"a"}


def test_what_is_downloaded_is_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a repository's files neither code nor pickles nor other formats; pickles on request."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    files = [
        "config.json", "generation_config.json", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "tokenizer.json", "tokenizer.model", "merges.txt",
        "chat_template.jinja", "adapter_model.safetensors", "spiece.model", "tekken.json",
        "sentencepiece.bpe.model", "additional_chat_templates/rag.jinja",
    ]  # fmt: skip
    others = [
        "modeling_custom.py", "consolidated.safetensors", "original/params.json", "model.gguf",
        "assets/a.json", "onnx/model.safetensors", "README.md", "optimizer.pt", "training_args.bin",
    ]  # fmt: skip
    pickles = ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"]
    asked = []

    def download(_: str, *, allow_patterns: Any, ignore_patterns: Any, **__: Any) -> str:
        wanted = filter_repo_objects(
            [*files, *others, *pickles],
            allow_patterns=allow_patterns,
            ignore_patterns=ignore_patterns,
        )
        asked.append(list(wanted))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    locate("org/m")
    assert asked == [files]
    locate("org/m", pickled=True)
    assert asked[1:] == [files, [*files, *pickles]]
